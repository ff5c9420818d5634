"""The gate a model folder passes before any machine-learning library opens it.

It allows what we know and refuses the rest: pickles, Python, archives, links and extra files
have no name on the list. Nothing here parses weights with anything but `json` and `struct`.

Source: known attacks on loaders, e.g. sentence-transformers issues 3683 and 3801, CVE-2026-4372.
"""

import json
import math
import os
import re
import stat
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TypeAlias

from service.errors import ModelRejected

ALLOWED_FILES = frozenset(
    {
        "config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "vocab.txt",
        "modules.json",
        "sentence_bert_config.json",
        "config_sentence_transformers.json",
        "1_Pooling/config.json",
        "2_Normalize/config.json",
        "model.safetensors",
        "README.md",
    }
)
REQUIRED_FILES = frozenset({"config.json", "tokenizer.json", "modules.json", "model.safetensors"})

_LICENCE = re.compile(r"LICENSE(\.(txt|md))?")
_FOLDERS = frozenset({"1_Pooling", "2_Normalize"})
_MODULE_KEYS = frozenset({"idx", "name", "path", "type"})
# The three modules we can export, by their names of old and by those of version 6.
_MODULES = frozenset(
    {
        "sentence_transformers.models.Transformer",
        "sentence_transformers.models.Pooling",
        "sentence_transformers.models.Normalize",
        "sentence_transformers.base.modules.transformer.Transformer",
        "sentence_transformers.sentence_transformer.modules.pooling.Pooling",
        "sentence_transformers.base.modules.normalize.Normalize",
    }
)
_CODE_HOOKS = frozenset(
    {"auto_map", "_attn_implementation_internal", "custom_pipelines", "trust_remote_code"}
)
_ATTENTION = frozenset({"_attn_implementation", "attn_implementation"})
_ATTENTION_KINDS = (None, "eager", "sdpa")

_TEXT_LIMIT_BYTES = 32 << 20
_HEADER_LIMIT_BYTES = 1 << 20
_TENSOR_LIMIT = 10_000
_DTYPE_BYTES = {
    "BOOL": 1, "U8": 1, "I8": 1, "I16": 2, "U16": 2, "F16": 2, "BF16": 2,
    "I32": 4, "U32": 4, "F32": 4, "I64": 8, "U64": 8, "F64": 8,
}  # fmt: skip

_Json: TypeAlias = "dict[str, _Json] | list[_Json] | str | int | float | bool | None"


@dataclass(frozen=True, slots=True)
class Violation:
    """A file that is refused, and why."""

    file: str
    reason: str

    def __str__(self) -> str:
        return f"{self.file}: {self.reason}"


def is_allowed(name: str) -> bool:
    """Whether a relative path may be part of a model at all."""
    return name in ALLOWED_FILES or _LICENCE.fullmatch(name) is not None


def admit(folder: Path) -> None:
    """Refuse a model folder that holds anything but plain, known, well-formed files.

    Raises:
        ModelRejected: names every refused file with its reason.
    """
    violations = list(find_violations(folder))
    if violations:
        raise ModelRejected(
            f"{len(violations)} file(s) refused: " + "; ".join(map(str, violations)) + ".",
            "Nothing of this model was opened or kept.",
        )


def find_violations(folder: Path) -> Iterator[Violation]:
    """Yield what is wrong with a model folder, by file name, without loading any of it."""
    entries = dict(_walk(folder, PurePosixPath()))
    for name in sorted(REQUIRED_FILES - entries.keys()):
        yield Violation(name, "is missing")
    for name, refused in sorted(entries.items()):
        # What is refused by its name or kind is never opened.
        reason = refused or _fault(folder / name, name)
        if reason:
            yield Violation(name, reason)


def _walk(folder: Path, prefix: PurePosixPath) -> Iterator[tuple[str, str]]:
    """Yield (relative path, reason to refuse it or "")."""
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            name = str(prefix / entry.name)
            if entry.is_dir(follow_symlinks=False):
                if name in _FOLDERS:
                    yield from _walk(folder / entry.name, prefix / entry.name)
                else:
                    yield name, "is a folder that no model of ours has"
            else:
                yield name, _entry_fault(name, entry.stat(follow_symlinks=False))


def _entry_fault(name: str, status: os.stat_result) -> str:
    if stat.S_ISLNK(status.st_mode):
        return "is a symbolic link"
    if not stat.S_ISREG(status.st_mode):
        return "is not a regular file"
    if status.st_nlink != 1:
        return "is a hard link"
    if not is_allowed(name):
        return "is not on the list of allowed files"
    if not name.endswith(".safetensors") and status.st_size > _TEXT_LIMIT_BYTES:
        return f"is larger than {_TEXT_LIMIT_BYTES >> 20} MiB"
    return ""


def _fault(path: Path, name: str) -> str:
    if name.endswith(".safetensors"):
        return _safetensors_fault(path)
    if not name.endswith(".json"):
        return ""
    try:
        content = _parse(path.read_bytes())
    except (ValueError, RecursionError):
        return "is not JSON"
    hook = _code_hook(content)
    if hook:
        return hook
    if name == "modules.json":
        return _modules_fault(content)
    return "" if isinstance(content, dict) else "is not a JSON object"


def _parse(content: bytes) -> _Json:
    """Parse UTF-8 JSON, refusing what two parsers may read in two ways: a key given twice."""

    def unique(pairs: "list[tuple[str, _Json]]") -> "dict[str, _Json]":
        keys = dict(pairs)
        if len(keys) != len(pairs):
            raise ValueError("a key is given twice")
        return keys

    parsed: _Json = json.loads(content.decode("utf-8"), object_pairs_hook=unique)
    return parsed


def _code_hook(content: _Json) -> str:
    """Find a key, at any depth, that makes a loader run code of the repository's choice."""
    pending = [content]
    while pending:
        node = pending.pop()
        if isinstance(node, list):
            pending.extend(node)
        elif isinstance(node, dict):
            hooks = sorted(_CODE_HOOKS & node.keys())
            if hooks:
                return f"has the code hook {hooks[0]!r}"
            # A name with a slash here makes transformers fetch a compiled kernel from the hub.
            for key in sorted(_ATTENTION & node.keys()):
                if node[key] not in _ATTENTION_KINDS:
                    return f"asks for foreign attention code in {key!r}"
            pending.extend(node.values())
    return ""


def _modules_fault(content: _Json) -> str:
    if not isinstance(content, list) or not content:
        return "is not a list of modules"
    for module in content:
        if not isinstance(module, dict) or not module.keys() <= _MODULE_KEYS:
            return "has a module with unknown keys"
        if str(module.get("type")) not in _MODULES:
            return f"names the module type {module.get('type')!r}, which is not built in"
        if str(module.get("path")) not in {"", *_FOLDERS}:
            return f"names the module path {module.get('path')!r}"
    return ""


def _safetensors_fault(path: Path) -> str:
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
        tensors = _parse(header)
    except (ValueError, RecursionError):
        return "has a header that is not JSON"
    if not isinstance(tensors, dict):
        return "has a header that is not a JSON object"
    tensors.pop("__metadata__", None)
    if len(tensors) > _TENSOR_LIMIT:
        return f"names {len(tensors)} tensors; {_TENSOR_LIMIT} are allowed"
    return _layout_fault(tensors, size - 8 - length)


def _layout_fault(tensors: dict[str, "_Json"], payload_bytes: int) -> str:
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


def _span(tensor: _Json) -> tuple[int, int] | None:
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
