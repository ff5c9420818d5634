"""What each file of a model is for."""

from typing import Literal, TypeAlias

Role: TypeAlias = Literal[
    "weights", "graph", "tokenizer", "config", "pooling", "licence", "card", "other"
]

_TOKENIZER = frozenset(
    {
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "vocab.txt",
        "vocab.json",
        "merges.txt",
    }
)
_MEDIA_TYPES = {".json": "application/json", ".txt": "text/plain", ".md": "text/markdown"}


def role_of(name: str) -> Role:
    """Say what an allowed file is for, by its name."""
    if name.endswith((".safetensors", ".safetensors.index.json")):
        return "weights"
    if name.endswith(".onnx"):
        return "graph"
    if name in _TOKENIZER:
        return "tokenizer"
    if name.startswith("1_Pooling/"):
        return "pooling"
    if name.startswith("LICENSE"):
        return "licence"
    if name == "README.md":
        return "card"
    return "config" if name.endswith(".json") else "other"


def media_type(name: str) -> str:
    """Media type of an allowed file, by its name."""
    if name.startswith("LICENSE"):
        return "text/plain"
    ending = name[name.rfind(".") :] if "." in name else ""
    return _MEDIA_TYPES.get(ending, "application/octet-stream")
