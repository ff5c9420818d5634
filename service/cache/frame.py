"""The envelope of a value in Redis, so that a wrong byte or a wrong reply is never an answer.

Layout, big endian: magic (3), schema (1), end of the key (32), length of the body (4),
CRC-32 of times and body (4), end of life in Unix milliseconds (8), cost in microseconds (4), body.
Keys end in a digest, of which 128 bits catch a reply that belongs to another request; the checksum
catches damage, and a digest of the body would take as long as all else that is done with an answer
from Redis. Neither is a signature: whoever can write to Redis can forge.
"""

import struct
from typing import Final, NamedTuple
from zlib import crc32

_MAGIC: Final = b"MGP"
_SCHEMA: Final = 4
_NAME_BYTES: Final = 32
_HEADER: Final = struct.Struct(f">3sB{_NAME_BYTES}sIIQI")
_TIMES: Final = struct.Struct(">QI")
_BODY_AT: Final = _HEADER.size
_CHECKED_AT: Final = _BODY_AT - _TIMES.size
_LONGEST_COST_US: Final = (1 << 32) - 1

FRAME_OVERHEAD_BYTES: Final = _BODY_AT
"""What `seal` adds to a body."""


class BadFrame(ValueError):
    """Bytes that are not the value of this key. Caught inside this package, never leaves it."""


class Stored(NamedTuple):
    """A value with its times, which travel with it from the process that made it.

    `expires_at` is in Unix seconds, to the millisecond; `cost_s` is how long making it took.
    """

    body: bytes
    expires_at: float
    cost_s: float


def seal(key: bytes, stored: Stored) -> bytes:
    """Wrap a value for storing under `key`."""
    cost_us = min(round(stored.cost_s * 1e6), _LONGEST_COST_US)
    expires_at_ms = round(stored.expires_at * 1e3)
    checksum = crc32(stored.body, crc32(_TIMES.pack(expires_at_ms, cost_us)))
    name, length = key[-_NAME_BYTES:], len(stored.body)
    header = _HEADER.pack(_MAGIC, _SCHEMA, name, length, checksum, expires_at_ms, cost_us)
    return header + stored.body


def unseal(key: bytes, frame: object, max_body_bytes: int) -> Stored:
    """Return what was sealed for `key`.

    Args:
        key: the key that was asked for.
        frame: whatever the server replied.
        max_body_bytes: longer bodies are refused before they are looked at.

    Raises:
        BadFrame: not bytes, too long, cut, damaged, of another schema, or of another key.
    """
    if not isinstance(frame, bytes):
        raise BadFrame(f"reply is {type(frame).__name__}, not bytes")
    if not _BODY_AT <= len(frame) <= _BODY_AT + max_body_bytes:
        raise BadFrame(f"frame of {len(frame)} bytes")
    magic, schema, name, length, checksum, expires_at_ms, cost_us = _HEADER.unpack_from(frame)
    if magic != _MAGIC or schema != _SCHEMA:
        raise BadFrame("other format or schema")
    if name != key[-_NAME_BYTES:].ljust(_NAME_BYTES, b"\0"):
        raise BadFrame("value of another key")
    if length != len(frame) - _BODY_AT or checksum != crc32(memoryview(frame)[_CHECKED_AT:]):
        raise BadFrame("damaged body")
    return Stored(frame[_BODY_AT:], expires_at_ms / 1e3, cost_us / 1e6)
