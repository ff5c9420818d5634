"""What a safetensors file says about itself, read with `json` and `struct` and nothing else.

The header must be small, name known types, and describe tensors that fill the file exactly: a
file in which two tensors overlap, or bytes lie between them, can hide something.

Source: the format's own description, and CVE reports on parsers that believed its offsets.
"""

import json
import math
import struct
from pathlib import Path
from typing import TypeAlias

Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | float | bool | None"

_HEADER_LIMIT_BYTES = 1 << 20
_TENSOR_LIMIT = 10_000
_DTYPE_BYTES = {
    "BOOL": 1, "U8": 1, "I8": 1, "I16": 2, "U16": 2, "F16": 2, "BF16": 2,
    "I32": 4, "U32": 4, "F32": 4, "I64": 8, "U64": 8, "F64": 8,
}  # fmt: skip


def parse_json(content: bytes) -> Json:
    """Parse UTF-8 JSON, refusing what two parsers may read in two ways: a key given twice.

    Raises:
        ValueError: it is not JSON, or a key is given twice.
        RecursionError: it is nested too deeply.
    """

    def unique(pairs: "list[tuple[str, Json]]") -> "dict[str, Json]":
        keys = dict(pairs)
        if len(keys) != len(pairs):
            raise ValueError("a key is given twice")
        return keys

    parsed: Json = json.loads(content.decode("utf-8"), object_pairs_hook=unique)
    return parsed


def safetensors_fault(path: Path) -> str:
    """Say what is wrong with a safetensors file, or nothing; its tensors are not read."""
    size = path.stat().st_size
    with path.open("rb") as file:
        prefix = file.read(8)
        if len(prefix) < 8:
            return "is too short for safetensors"
        (length,) = struct.unpack("<Q", prefix)
        if length > _HEADER_LIMIT_BYTES:
            return f"has a header of {length} bytes; {_HEADER_LIMIT_BYTES} are allowed"
        header = file.read(length)
    if len(header) < length:
        return "ends inside its header"
    try:
        tensors = parse_json(header)
    except (ValueError, RecursionError):
        return "has a header that is not JSON"
    if not isinstance(tensors, dict):
        return "has a header that is not a JSON object"
    tensors.pop("__metadata__", None)
    if len(tensors) > _TENSOR_LIMIT:
        return f"names {len(tensors)} tensors; {_TENSOR_LIMIT} are allowed"
    return _layout_fault(tensors, size - 8 - length)


def _layout_fault(tensors: dict[str, Json], payload_bytes: int) -> str:
    """Check that the tensors fill the payload exactly, without a hole or an overlap."""
    spans = []
    for name, tensor in tensors.items():
        span = _span(tensor)
        if span is None:
            return f"describes the tensor {name[:80]!r} wrongly"
        spans.append(span)
    end = 0
    for start, stop in sorted(spans):
        if start != end:
            return "has tensors that overlap or leave a hole"
        end = stop
    if end != payload_bytes:
        return f"holds {payload_bytes} bytes of tensors where its header names {end}"
    return ""


def _span(tensor: Json) -> tuple[int, int] | None:
    if not isinstance(tensor, dict) or tensor.keys() != {"dtype", "shape", "data_offsets"}:
        return None
    shape, offsets = tensor["shape"], tensor["data_offsets"]
    width = _DTYPE_BYTES.get(str(tensor["dtype"]))
    if width is None or not isinstance(shape, list) or not isinstance(offsets, list):
        return None
    sizes = [n for n in (*shape, *offsets) if type(n) is int and n >= 0]
    if len(sizes) != len(shape) + 2 or len(offsets) != 2:
        return None
    start, stop = sizes[-2:]
    return (start, stop) if stop - start == width * math.prod(sizes[:-2]) else None
