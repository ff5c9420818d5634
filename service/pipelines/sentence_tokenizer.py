"""The tokenizer of an export: the publisher's, reading texts as its reference reads them."""

from pathlib import Path

import orjson

_SENTENCE_CONFIG = "sentence_bert_config.json"
_TOKENIZER_CONFIG = "tokenizer_config.json"


def write_tokenizer(upstream: Path, path: Path) -> None:
    """Write the `tokenizer.json` of an export.

    sentence-transformers puts texts into lower case where `sentence_bert_config.json` says so,
    whatever the tokenizer itself does. The Chinese BGE models rely on it: their vocabulary has
    no capitals, and without it "iPhone" is one unknown token. Older models come with a bare
    vocabulary instead of a tokenizer; then it is BERT's own.
    """
    try:
        content = (upstream / "tokenizer.json").read_bytes()
    except FileNotFoundError:
        content = _bert_tokenizer(upstream)
    if _lower_case_is_asked(upstream):
        content = _with_lower_case(content)
    path.write_bytes(content)


def _bert_tokenizer(upstream: Path) -> bytes:
    """BERT's word pieces from `vocab.txt`, set up as `tokenizer_config.json` says."""
    from tokenizers import BertWordPieceTokenizer

    config = _config(upstream, _TOKENIZER_CONFIG)
    lower = config.get("do_lower_case", True)
    tokenizer = BertWordPieceTokenizer(
        str(upstream / "vocab.txt"),
        handle_chinese_chars=bool(config.get("tokenize_chinese_chars", True)),
        strip_accents=config.get("strip_accents"),
        lowercase=bool(lower),
    )
    return str(tokenizer.to_str()).encode()


def _config(upstream: Path, name: str) -> dict[str, bool | None]:
    try:
        config: dict[str, bool | None] = orjson.loads((upstream / name).read_bytes())
    except FileNotFoundError:
        return {}
    return config


def _lower_case_is_asked(upstream: Path) -> bool:
    return bool(_config(upstream, _SENTENCE_CONFIG).get("do_lower_case", False))


def _with_lower_case(content: bytes) -> bytes:
    tokenizer = orjson.loads(content)
    normalizer = tokenizer.get("normalizer")
    if normalizer is not None and normalizer.get("lowercase"):
        return content
    first = {"type": "Lowercase"}
    steps = [first] if normalizer is None else [first, normalizer]
    tokenizer["normalizer"] = {"type": "Sequence", "normalizers": steps}
    return orjson.dumps(tokenizer)
