"""The tokenizer of an export: the publisher's, reading texts as its reference reads them."""

from pathlib import Path

import orjson

_SENTENCE_CONFIG = "sentence_bert_config.json"


def write_tokenizer(upstream: Path, path: Path) -> None:
    """Write the `tokenizer.json` of an export.

    sentence-transformers puts texts into lower case where `sentence_bert_config.json` says so,
    whatever the tokenizer itself does. The Chinese BGE models rely on it: their vocabulary has
    no capitals, and without it "iPhone" is one unknown token.
    """
    content = (upstream / "tokenizer.json").read_bytes()
    if _lower_case_is_asked(upstream):
        content = _with_lower_case(content)
    path.write_bytes(content)


def _lower_case_is_asked(upstream: Path) -> bool:
    try:
        config = orjson.loads((upstream / _SENTENCE_CONFIG).read_bytes())
    except FileNotFoundError:
        return False
    return bool(config.get("do_lower_case", False))


def _with_lower_case(content: bytes) -> bytes:
    tokenizer = orjson.loads(content)
    normalizer = tokenizer.get("normalizer")
    if normalizer is not None and normalizer.get("lowercase"):
        return content
    first = {"type": "Lowercase"}
    steps = [first] if normalizer is None else [first, normalizer]
    tokenizer["normalizer"] = {"type": "Sequence", "normalizers": steps}
    return orjson.dumps(tokenizer)
