"""The envelope of a value in Redis, so that a wrong byte or a wrong reply is never an answer.

Layout, big endian: magic (3), schema (1), digest of the key (16), length of the body (4),
digest of the body (16), body. The key's digest catches a reply that belongs to another request,
the body's digest catches damage. Neither is a signature: whoever can write to Redis can forge.
"""

import struct
from hashlib import blake2b
from typing import Final

_MAGIC: Final = b"MGP"
_SCHEMA: Final = 1
_DIGEST_BYTES: Final = 16
_HEADER: Final = struct.Struct(f">3sB{_DIGEST_BYTES}sI{_DIGEST_BYTES}s")

FRAME_OVERHEAD_BYTES: Final = _HEADER.size
"""What `seal` adds to a body."""


class BadFrame(ValueError):
    """Bytes that are not the value of this key. Caught inside this package, never leaves it."""


def seal(key: bytes, body: bytes) -> bytes:
    """Wrap a value for storing under `key`."""
    return _HEADER.pack(_MAGIC, _SCHEMA, _digest(key), len(body), _digest(body)) + body


def unseal(key: bytes, frame: object, max_body_bytes: int) -> bytes:
    """Return the body of a frame that was sealed for `key`.

    Args:
        key: the key that was asked for.
        frame: whatever the server replied.
        max_body_bytes: longer bodies are refused before they are looked at.

    Raises:
        BadFrame: not bytes, too long, cut, damaged, of another schema, or of another key.
    """
    if not isinstance(frame, bytes):
        raise BadFrame(f"reply is {type(frame).__name__}, not bytes")
    if not _HEADER.size <= len(frame) <= _HEADER.size + max_body_bytes:
        raise BadFrame(f"frame of {len(frame)} bytes")
    magic, schema, key_digest, length, body_digest = _HEADER.unpack_from(frame)
    if (magic, schema) != (_MAGIC, _SCHEMA):
        raise BadFrame("other format or schema")
    if key_digest != _digest(key):
        raise BadFrame("value of another key")
    body = frame[_HEADER.size :]
    if length != len(body) or body_digest != _digest(body):
        raise BadFrame("damaged body")
    return body


def _digest(content: bytes) -> bytes:
    return blake2b(content, digest_size=_DIGEST_BYTES).digest()
