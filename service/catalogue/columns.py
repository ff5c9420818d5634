"""Columns of the item table: attribute values arranged so that a filter is a few array steps."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
import orjson
from numpy.typing import NDArray

from service.catalogue.arrays import map_array
from service.catalogue.ids import hash64
from service.errors import CorruptArtifact
from service.types import Mask, Range, Scalar

Kind: TypeAlias = Literal["keyword", "number", "mixed", "text"]
"""keyword: text, true and false, lists. mixed: keywords and numbers. text: too long to filter."""

FOLDER = "columns"
LISTING = "columns.json"
_FEW_VALUES = 16
_COMMONPLACE = 0.25


def hash_keyword(value: str | bool) -> int:
    """Hash a value so that true and "true" differ."""
    if isinstance(value, bool):
        return hash64(b"b1" if value else b"b0")
    return hash64(b"s" + value.encode(errors="surrogatepass"))


@dataclass(frozen=True, slots=True, eq=False)
class Keywords:
    """Inverted lists: which items hold a value.

    Args:
        hashes: uint64 (values,), ascending.
        starts: int64 (values + 1,), where the items of a value begin in `rows`.
        rows: int32, items by value, ascending within one.
    """

    hashes: NDArray[np.uint64]
    starts: NDArray[np.int64]
    rows: NDArray[np.int32]

    @classmethod
    def open(cls, stem: Path) -> "Keywords":
        """Map the three files that begin with `stem`."""
        hashes = map_array(stem.with_suffix(".hashes.npy"), np.uint64)
        starts = map_array(stem.with_suffix(".indptr.npy"), np.int64)
        rows = map_array(stem.with_suffix(".rows.npy"), np.int32)
        if len(starts) != len(hashes) + 1 or starts[-1] != len(rows):
            raise CorruptArtifact(f"The lists of {stem} do not fit together.")
        return cls(hashes, starts, rows)

    def holding(self, value: str | bool) -> NDArray[np.int32]:
        """Return the rows of the items that hold a value."""
        wanted = np.uint64(hash_keyword(value))
        first = int(self.hashes.searchsorted(wanted, side="left"))
        last = int(self.hashes.searchsorted(wanted, side="right"))
        return self.rows[self.starts[first] : self.starts[last]]


@dataclass(frozen=True, slots=True, eq=False)
class Column:
    """One attribute over all items.

    Args:
        key: name of the attribute.
        kind: see `Kind`.
        values: how many different ones there are to filter by.
        top: up to 100 (value, items) by frequency, if there are at most 1,000 values; else empty.
        size: number of items.
        keywords: None where the kind has none.
        numbers: float64 (size,), NaN where an item has none; None where the kind has none.
    """

    key: str
    kind: Kind
    values: int
    top: tuple[tuple[Scalar, int], ...]
    size: int
    keywords: Keywords | None
    numbers: NDArray[np.float64] | None

    @property
    def commonplace(self) -> frozenset[Scalar]:
        """The values that more than a quarter of all items have: they tell nothing about one."""
        # `top` is sorted by frequency, so the loop ends after the few values it is looking for.
        frequent = takewhile(lambda each: each[1] > self.size * _COMMONPLACE, self.top)
        return frozenset([value for value, _ in frequent])

    def holding(self, values: Iterable[Scalar]) -> Mask:
        """Return where an item has one of the values. Numbers compare as 64-bit floats."""
        mask = np.zeros(self.size, np.bool_)
        numbers: list[float] = []
        for value in values:
            if not isinstance(value, str | bool):
                numbers.append(as_float(value))
            elif self.keywords is not None:
                mask[self.keywords.holding(value)] = True
        if numbers and self.numbers is not None:
            mask |= _is_any(self.numbers, numbers)
        return mask

    def within(self, bounds: Range) -> Mask:
        """Return where an item has a number inside all bounds.

        Raises:
            ValueError: the column holds no numbers.
        """
        if self.numbers is None:
            raise ValueError(f"column {self.key!r} holds no numbers")
        # NaN, a missing number, is inside no bound; without a bound nothing would leave it out.
        mask: Mask = ~np.isnan(self.numbers)
        if bounds.gt is not None:
            mask &= self.numbers > as_float(bounds.gt)
        if bounds.gte is not None:
            mask &= self.numbers >= as_float(bounds.gte)
        if bounds.lt is not None:
            mask &= self.numbers < as_float(bounds.lt)
        if bounds.lte is not None:
            mask &= self.numbers <= as_float(bounds.lte)
        return mask


def as_float(value: float) -> float:
    """Return the float nearest to a number; infinity for a whole number beyond all floats."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _is_any(numbers: NDArray[np.float64], wanted: list[float]) -> Mask:
    """Return where a number is one of those wanted; NaN never is."""
    if len(wanted) <= _FEW_VALUES:
        mask = np.zeros(len(numbers), np.bool_)
        for value in wanted:
            mask |= numbers == value
        return mask
    # Searches a short list per item; np.isin would sort all the items.
    ordered = np.unique(wanted)
    positions = np.minimum(ordered.searchsorted(numbers), len(ordered) - 1)
    return np.equal(ordered[positions], numbers)


def open_columns(folder: Path, size: int) -> dict[str, Column]:
    """Map all columns of a table of `size` items, by key.

    Raises:
        CorruptArtifact: a file is missing, damaged, or does not fit the others.
    """
    path = folder / LISTING
    try:
        listing: dict[str, dict[str, object]] = orjson.loads(path.read_bytes())
        return {key: _open_column(folder, key, entry, size) for key, entry in listing.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CorruptArtifact(f"{path} cannot be read: {error!r}.") from error


def _open_column(folder: Path, key: str, entry: dict[str, object], size: int) -> Column:
    kind, number, values, top = entry["kind"], entry["number"], entry["values"], entry["top"]
    if kind not in ("keyword", "number", "mixed", "text"):
        raise ValueError(f"unknown kind of column {kind!r}")
    if not (isinstance(number, int) and isinstance(values, int) and isinstance(top, list)):
        raise ValueError(f"column {key!r} is described wrongly")
    stem = column_stem(folder, number)
    keywords = Keywords.open(stem) if kind in ("keyword", "mixed") else None
    numbers = None
    if kind in ("number", "mixed"):
        numbers = map_array(stem.with_suffix(".numbers.npy"), np.float64)
        if len(numbers) != size:
            raise ValueError(f"column {key!r} is not of {size} items")
    pairs = tuple((value, int(count)) for value, count in top)
    return Column(key, kind, values, pairs, size, keywords, numbers)


def column_stem(folder: Path, number: int) -> Path:
    """Return the path that the files of a column begin with; its key is only in the listing."""
    return folder / FOLDER / f"{number:04d}"
