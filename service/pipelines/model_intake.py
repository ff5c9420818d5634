"""The gate a model folder passes before any machine-learning library opens it.

It allows what we know and refuses the rest: pickles, Python, archives, links and extra files
have no name on the list.

Source: known attacks on loaders, e.g. sentence-transformers issues 3683 and 3801, CVE-2026-4372.
"""

import os
import re
import stat
from collections.abc import Container, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal, TypeAlias

from service.errors import ModelRejected
from service.pipelines.safetensors_header import Json, parse_json, safetensors_fault

ALLOWED_FILES = frozenset(
    {
        "config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "vocab.txt",
        "vocab.json",
        "merges.txt",
        "modules.json",
        "sentence_bert_config.json",
        "config_sentence_transformers.json",
        "1_Pooling/config.json",
        "2_Normalize/config.json",
        "model.safetensors",
        "model.safetensors.index.json",
        "onnx/model.onnx",
        "README.md",
    }
)
WEIGHTS = "model.safetensors"
WEIGHTS_INDEX = "model.safetensors.index.json"
"""Names the parts of weights that come in several files."""
SHIPPED_GRAPH = "onnx/model.onnx"
"""The publisher's own graph, which may come instead of the weights."""
TOKENIZERS = ("tokenizer.json", "vocab.txt")
"""Either tells how to cut a text; from the second, an old form, the first follows."""

_REQUIRED = ("config.json", "modules.json")
_SHARD = re.compile(r"model-(\d{5})-of-(\d{5})\.safetensors")
_LICENCE = re.compile(r"LICENSE(\.(txt|md))?")
_MODULE_FOLDERS = frozenset({"1_Pooling", "2_Normalize"})
_FOLDERS = _MODULE_FOLDERS | {"onnx"}
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


Weights: TypeAlias = Literal["safetensors", "onnx"]
"""Which of the two forms of a model is fetched: the weights, or the publisher's own graph."""

_Kind: TypeAlias = Literal["extra", "format"]


@dataclass(frozen=True, slots=True)
class Violation:
    """A file that is refused, and why: nobody asked for it, or it is not what we open."""

    file: str
    reason: str
    kind: _Kind = "format"

    def __str__(self) -> str:
        return f"{self.file}: {self.reason}"


def is_allowed(name: str) -> bool:
    """Whether a relative path may be part of a model at all."""
    patterns = (_LICENCE, _SHARD)
    return name in ALLOWED_FILES or any(pattern.fullmatch(name) for pattern in patterns)


def is_wanted(name: str, weights: Weights) -> bool:
    """Whether a file is allowed and belongs to this form of the model."""
    if weights == "onnx":
        return is_allowed(name) and not name.startswith("model")
    return is_allowed(name) and name != SHIPPED_GRAPH


def missing_parts(names: Container[str]) -> list[str]:
    """Say which necessary files are not among the names; the parts of weights are not counted."""
    missing = [name for name in _REQUIRED if name not in names]
    if not any(name in names for name in TOKENIZERS):
        missing.append(TOKENIZERS[0])
    if not any(name in names for name in (WEIGHTS, WEIGHTS_INDEX, SHIPPED_GRAPH)):
        missing.append(WEIGHTS)
    return missing


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
    for name in missing_parts(entries):
        yield Violation(name, "is missing")
    for name, refused in sorted(entries.items()):
        # What is refused by its name or kind is never opened.
        if refused is not None:
            yield refused
        elif reason := _fault(folder / name, name):
            yield Violation(name, reason)
    parts = {name for name in entries if _SHARD.fullmatch(name)}
    if parts or WEIGHTS_INDEX in entries:
        yield from _shard_faults(folder, parts, entries)


def _shard_faults(folder: Path, parts: set[str], entries: Container[str]) -> Iterator[Violation]:
    """Check that the index names exactly the parts that are here, and that none is left out."""
    if WEIGHTS in entries:
        yield Violation(WEIGHTS_INDEX, "comes with whole weights beside it; one of them is extra")
        return
    try:
        index = parse_json((folder / WEIGHTS_INDEX).read_bytes())
    except (OSError, ValueError, RecursionError):
        yield Violation(WEIGHTS_INDEX, "is missing or is not JSON")
        return
    places = index.get("weight_map") if isinstance(index, dict) else None
    named = set(map(str, places.values())) if isinstance(places, dict) else set()
    totals = {match[2] for name in named if (match := _SHARD.fullmatch(name))}
    if named != parts or len(totals) != 1 or int(totals.pop()) != len(parts):
        yield Violation(WEIGHTS_INDEX, "does not name the parts of the weights that are here")


def _walk(folder: Path, prefix: PurePosixPath) -> Iterator[tuple[str, Violation | None]]:
    """Yield (relative path, why it is refused unopened, if it is)."""
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            name = str(prefix / entry.name)
            if not entry.is_dir(follow_symlinks=False):
                yield name, _entry_fault(name, entry.stat(follow_symlinks=False))
            elif name in _FOLDERS:
                yield from _walk(folder / entry.name, prefix / entry.name)
            else:
                yield name, Violation(name, "is a folder that no model of ours has", "extra")


def _entry_fault(name: str, status: os.stat_result) -> Violation | None:
    if stat.S_ISLNK(status.st_mode):
        return Violation(name, "is a symbolic link")
    if not stat.S_ISREG(status.st_mode):
        return Violation(name, "is not a regular file")
    if status.st_nlink != 1:
        return Violation(name, "is a hard link")
    if not is_allowed(name):
        return Violation(name, "is not on the list of allowed files", "extra")
    if not name.endswith((".safetensors", ".onnx")) and status.st_size > _TEXT_LIMIT_BYTES:
        return Violation(name, f"is larger than {_TEXT_LIMIT_BYTES >> 20} MiB")
    return None


def _fault(path: Path, name: str) -> str:
    if name.endswith(".safetensors"):
        return safetensors_fault(path)
    if not name.endswith(".json"):
        return ""
    try:
        content = parse_json(path.read_bytes())
    except (ValueError, RecursionError):
        return "is not JSON"
    hook = _code_hook(content)
    if hook:
        return hook
    if name == "modules.json":
        return _modules_fault(content)
    return "" if isinstance(content, dict) else "is not a JSON object"


def _code_hook(content: Json) -> str:
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


def _modules_fault(content: Json) -> str:
    if not isinstance(content, list) or not content:
        return "is not a list of modules"
    for module in content:
        if not isinstance(module, dict) or not module.keys() <= _MODULE_KEYS:
            return "has a module with unknown keys"
        if str(module.get("type")) not in _MODULES:
            return f"names the module type {module.get('type')!r}, which is not built in"
        if str(module.get("path")) not in {"", *_MODULE_FOLDERS}:
            return f"names the module path {module.get('path')!r}"
    return ""
