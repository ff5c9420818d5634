"""A file of search texts, with the items that answer them where somebody has labelled them."""

from dataclasses import dataclass
from pathlib import Path

import orjson

from service.errors import InvalidInput

_JSON_LINES = (".jsonl", ".ndjson")


@dataclass(frozen=True, slots=True)
class SampleQuery:
    """A search text; `relevant` is empty where nothing is labelled."""

    text: str
    relevant: frozenset[str] = frozenset()


def read_queries(path: Path) -> tuple[SampleQuery, ...]:
    """Read JSONL of {"query": "...", "relevant": ["id", ...]}, or plain text, one query a line.

    `relevant` may be absent. In plain text, empty lines and lines that begin with # are skipped.

    Raises:
        InvalidInput: the file cannot be read, or holds no query; names the first bad line.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path} cannot be read: {error}.") from error
    numbered = [(n, line.strip()) for n, line in enumerate(lines, 1) if line.strip()]
    if path.suffix in _JSON_LINES:
        queries = tuple(_parse(line, f"{path.name}, line {n},") for n, line in numbered)
    else:
        queries = tuple(SampleQuery(line) for _, line in numbered if not line.startswith("#"))
    if not queries:
        raise InvalidInput(f"{path.name} holds no query.")
    return queries


def _parse(line: str, where: str) -> SampleQuery:
    try:
        row = orjson.loads(line)
        text, relevant = row["query"], row.get("relevant", [])
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        text, relevant = None, None
    if not isinstance(text, str) or not text.strip() or not isinstance(relevant, list):
        raise InvalidInput(
            f"{where} is no query.", 'Each line: {"query": "...", "relevant": ["id", ...]}'
        )
    return SampleQuery(text, frozenset(str(each) for each in relevant))
