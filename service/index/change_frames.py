"""The bytes of a change log: frames that prove themselves and name the frame before them.

    frame    magic "MGC1", uint32 length of the payload, 8 bytes checksum of the frame before,
             8 bytes BLAKE2b over the two and the payload; then the payload
    payload  uint32 length, that many bytes of JSON, then float32 vectors; all little-endian

The first frame of a file holds `{"format": 1, "sequence": …}`, every other one the changes of one
acknowledged request, whole or not at all.
"""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Literal, TypedDict

import numpy as np
import orjson

from service.index.changes import Change, Delete, Embedding, Patch, Put
from service.types import AttributeValue, ItemId

FORMAT = 1
MAGIC = b"MGC1"
FIRST = bytes(8)
"""What the first frame of a file names as the one before."""

_HEAD = struct.Struct("<4sI8s8s")
_LENGTH = struct.Struct("<I")
_KINDS: dict[type[Change], Literal["put", "patch", "delete"]] = {
    Put: "put",
    Patch: "patch",
    Delete: "delete",
}


class _Header(TypedDict):
    format: int
    sequence: int
    held_bytes: int


class _Listed(TypedDict, total=False):
    """A change in a payload; `dim` and what follows it belong to an embedding."""

    kind: Literal["put", "patch", "delete"]
    sequence: int
    id: ItemId
    attributes: dict[str, AttributeValue]
    is_anew: bool
    dim: int
    text: str
    model: str
    template: str


class _Body(TypedDict):
    changes: list[_Listed]


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame that proved itself. `end` is where the next one begins."""

    previous: bytes
    checksum: bytes
    payload: bytes
    end: int


def encode_frame(payload: bytes, previous: bytes) -> tuple[bytes, bytes]:
    """Frame a payload; returns the bytes to append and the checksum that the next one names."""
    checksum = _checksum(previous, payload)
    return _HEAD.pack(MAGIC, len(payload), previous, checksum) + payload, checksum


def frames(content: bytes) -> Iterator[Frame]:
    """Yield the frames at the start of `content`, up to the first that does not prove itself."""
    start = 0
    while (frame := _frame_at(content, start)) is not None:
        yield frame
        start = frame.end


def holds_frame(content: bytes) -> bool:
    """Tell whether there is a whole frame anywhere: a torn end holds none, damage does."""
    start = content.find(MAGIC)
    while start >= 0:
        if _frame_at(content, start) is not None:
            return True
        start = content.find(MAGIC, start + 1)
    return False


def encode_header(sequence: int, held_bytes: int) -> bytes:
    """Write the payload of a file's first frame.

    Args:
        sequence: of the last change that any file of this log has held.
        held_bytes: what was kept when the file was made; 0 for a new log.
    """
    header: _Header = {"format": FORMAT, "sequence": sequence, "held_bytes": held_bytes}
    return _payload(header, [])


def decode_header(payload: bytes) -> tuple[int, int]:
    """Read back what `encode_header` wrote.

    Raises:
        ValueError, KeyError: it is of another format.
    """
    text, _ = _split(payload)
    header: _Header = orjson.loads(text)
    if header["format"] != FORMAT:
        raise ValueError("a log of another format")
    return header["sequence"], header["held_bytes"]


def encode_changes(changes: Sequence[Change]) -> bytes:
    """Write the payload of one request's changes."""
    embeddings = [_embedding(change) for change in changes]
    listed = [
        _described(change, embedding) for change, embedding in zip(changes, embeddings, strict=True)
    ]
    return _payload({"changes": listed}, [each for each in embeddings if each is not None])


def decode_changes(payload: bytes) -> list[Change]:
    """Read back what `encode_changes` wrote.

    Raises:
        ValueError, KeyError: it is not that.
    """
    text, rest = _split(payload)
    body: _Body = orjson.loads(text)
    vectors = np.frombuffer(rest, dtype="<f4").astype(np.float32)
    changes: list[Change] = []
    position = 0
    for each in body["changes"]:
        embedding = None
        if "dim" in each:
            vector = vectors[position : position + each["dim"]]
            position += each["dim"]
            embedding = Embedding(each["text"], vector, each["model"], each["template"])
        changes.append(_change(each, embedding))
    return changes


def _frame_at(content: bytes, start: int) -> Frame | None:
    if len(content) - start < _HEAD.size:
        return None
    magic, length, previous, checksum = _HEAD.unpack_from(content, start)
    body = start + _HEAD.size
    if magic != MAGIC or len(content) - body < length:
        return None
    payload = content[body : body + length]
    if _checksum(previous, payload) != checksum:
        return None
    return Frame(previous, checksum, payload, body + length)


def _checksum(previous: bytes, payload: bytes) -> bytes:
    digest = blake2b(MAGIC, digest_size=8)
    digest.update(_LENGTH.pack(len(payload)))
    digest.update(previous)
    digest.update(payload)
    return digest.digest()


def _payload(body: object, embeddings: Sequence[Embedding]) -> bytes:
    text = orjson.dumps(body)
    vectors = [each.vector.astype("<f4").tobytes() for each in embeddings]
    return b"".join([_LENGTH.pack(len(text)), text, *vectors])


def _split(payload: bytes) -> tuple[bytes, bytes]:
    (length,) = _LENGTH.unpack_from(payload)
    end = _LENGTH.size + length
    return payload[_LENGTH.size : end], payload[end:]


def _embedding(change: Change) -> Embedding | None:
    return None if isinstance(change, Delete) else change.embedding


def _described(change: Change, embedding: Embedding | None) -> _Listed:
    described: _Listed = {"kind": _KINDS[type(change)], "sequence": change.sequence}
    described["id"] = change.id
    if not isinstance(change, Delete):
        described["attributes"] = dict(change.attributes)
    if isinstance(change, Put) and change.is_anew:
        described["is_anew"] = True
    if embedding is not None:
        described["dim"] = len(embedding.vector)
        described["text"] = embedding.text
        described["model"] = embedding.model
        described["template"] = embedding.template
    return described


def _change(each: _Listed, embedding: Embedding | None) -> Change:
    sequence, item_id = each["sequence"], each["id"]
    if each["kind"] == "delete":
        return Delete(sequence, item_id)
    if each["kind"] == "patch":
        return Patch(sequence, item_id, each["attributes"], embedding)
    if each["kind"] != "put" or embedding is None:
        raise ValueError("a change of an unknown kind")
    return Put(sequence, item_id, each["attributes"], embedding, "is_anew" in each)
