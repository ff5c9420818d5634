"""What the columns of a catalogue hold, measured in one pass and little memory."""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from service.catalogue.ids import hash64

Shape: TypeAlias = Literal["text", "number", "true/false", "list", "object", "other"]

SEPARATORS = ("|", ";", ", ", ",", "/")
"""What lists in one cell are most often written with, the least ambiguous first."""

_SKETCH = 4096
_SAMPLES = 5
_SHOWN_CHARACTERS = 60


@dataclass(slots=True)
class Distinct:
    """Counts different values: exactly up to 8,192, within about two in a hundred above.

    Keeps the smallest hashes; their spacing tells how many there are (Bar-Yossef and others,
    RANDOM 2002, k minimum values).
    """

    _hashes: set[int] = field(default_factory=set)
    _limit: int = 1 << 64

    def add(self, content: bytes) -> None:
        """Count a value."""
        hashed = hash64(content)
        if hashed < self._limit:
            self._hashes.add(hashed)
            if len(self._hashes) > 2 * _SKETCH:
                ordered = sorted(self._hashes)
                self._limit = ordered[_SKETCH]
                self._hashes = set(ordered[:_SKETCH])

    @property
    def is_exact(self) -> bool:
        """Whether every value was kept."""
        return self._limit == 1 << 64

    @property
    def count(self) -> int:
        """How many different values there were, an estimate unless `is_exact`."""
        return round(len(self._hashes) * ((1 << 64) / self._limit))


@dataclass(slots=True)
class ColumnProfile:
    """What one column holds.

    Attributes:
        filled: rows with a value.
        shapes: how many of each kind.
        distinct: of the values, lists taken as a whole.
        least, most: smallest and largest number; None without numbers.
        longest: characters of the longest text.
        characters: of all texts together.
        samples: the first few different values, shortened.
        parts: for each separator, texts that hold it, and how many pieces it cuts them into.
    """

    name: str
    filled: int = 0
    shapes: Counter[Shape] = field(default_factory=Counter)
    distinct: Distinct = field(default_factory=Distinct)
    least: float | None = None
    most: float | None = None
    longest: int = 0
    characters: int = 0
    samples: list[str] = field(default_factory=list)
    parts: dict[str, "Pieces"] = field(default_factory=dict)

    def add(self, value: object) -> None:
        """Measure a cell that holds something."""
        self.filled += 1
        shape = _shape(value)
        self.shapes[shape] += 1
        shown = value if isinstance(value, str) else repr(value)
        self.distinct.add(shown.encode(errors="surrogatepass"))
        if len(self.samples) < _SAMPLES and shown[:_SHOWN_CHARACTERS] not in self.samples:
            self.samples.append(shown[:_SHOWN_CHARACTERS])
        if isinstance(value, str):
            self._add_text(value)
        elif shape == "number" and isinstance(value, int | float) and math.isfinite(value):
            self.least = value if self.least is None else min(self.least, value)
            self.most = value if self.most is None else max(self.most, value)

    @property
    def kind(self) -> str:
        """The kinds of its values, the most frequent first."""
        return ", ".join(shape for shape, _ in self.shapes.most_common())

    @property
    def mean_characters(self) -> float:
        """Of its texts."""
        return self.characters / max(1, self.shapes["text"])

    def _add_text(self, text: str) -> None:
        self.longest = max(self.longest, len(text))
        self.characters += len(text)
        for separator in SEPARATORS:
            if separator in text:
                self.parts.setdefault(separator, Pieces()).add(text.split(separator))


@dataclass(slots=True)
class Pieces:
    """What cutting the texts of a column by one separator gives."""

    texts: int = 0
    count: int = 0
    characters: int = 0
    distinct: Distinct = field(default_factory=Distinct)

    def add(self, pieces: list[str]) -> None:
        """Count the pieces of a text."""
        self.texts += 1
        for piece in pieces:
            self.count += 1
            self.characters += len(piece)
            self.distinct.add(piece.strip().encode(errors="surrogatepass"))


@dataclass(slots=True)
class Profile:
    """All columns of a catalogue, in order of first appearance, and how many rows were read."""

    rows: int = 0
    columns: dict[str, ColumnProfile] = field(default_factory=dict)

    def add(self, cells: Mapping[str, object]) -> None:
        """Measure a row."""
        self.rows += 1
        for name, value in cells.items():
            if value is None or value == "":
                continue
            column = self.columns.get(name)
            if column is None:
                column = self.columns[name] = ColumnProfile(name)
            column.add(value)

    def fill_rate(self, column: ColumnProfile) -> float:
        """Share of the rows in which a column has a value, 0 to 1."""
        return column.filled / max(1, self.rows)


def _shape(value: object) -> Shape:
    if isinstance(value, str):
        return "text"
    if isinstance(value, bool):
        return "true/false"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, list):
        return "list"
    return "object" if isinstance(value, dict) else "other"
