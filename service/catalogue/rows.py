"""What the reader of one file format hands on: rows with their line, or rejects."""

from collections.abc import Mapping
from dataclasses import dataclass

_SHOWN_CHARACTERS = 1000


class RowError(ValueError):
    """A row that cannot become an item. The message is the reason, for people."""


@dataclass(frozen=True, slots=True)
class Reject:
    """A row left out of the catalogue.

    Args:
        line: 1 is the first line of the file; in Parquet, the first row.
        reason: what is wrong with it, one sentence.
        row: how it stands in the file, cut to 1,000 characters.
        file: which one of several files; empty where the catalogue is a single one.
    """

    line: int
    reason: str
    row: str
    file: str = ""

    @property
    def where(self) -> str:
        """Its file and line, for people."""
        return f"{self.file}:{self.line}" if self.file else f"line {self.line}"


@dataclass(frozen=True, slots=True)
class Row:
    """A row that could be read. `source` is how it stands in the file, None where it has no text.

    Cells that hold nothing may be absent or None.
    """

    line: int
    cells: Mapping[str, object]
    source: bytes | str | None

    def reject(self, reason: str) -> Reject:
        """Leave this row out."""
        shown = repr(dict(self.cells)) if self.source is None else self.source
        return Reject(self.line, reason, excerpt(shown))


def excerpt(source: bytes | str) -> str:
    """Return the start of a row as text that can always be encoded."""
    if isinstance(source, str):
        source = source[:_SHOWN_CHARACTERS].encode(errors="replace")
    # Four bytes are the longest character in UTF-8.
    text = source[: 4 * _SHOWN_CHARACTERS].decode(errors="replace")
    return text.rstrip("\r\n")[:_SHOWN_CHARACTERS]


def cut(text: str, length: int = 60) -> str:
    """Quote a value inside a reason, shortened."""
    return repr(text if len(text) <= length else text[: length - 1] + "…")
