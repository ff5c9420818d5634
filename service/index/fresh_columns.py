"""Filter columns of a few items in memory, and how they and a version's columns go together."""

from array import array
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from service.catalogue.column_writer import MAX_KEYWORD_CHARACTERS
from service.catalogue.columns import Column, Keywords, Kind, hash_keyword
from service.types import AttributeValue, Item


class FreshColumns(Mapping[str, Column]):
    """The columns of a few items, each made when it is first asked for.

    Safe to share between threads: at worst two make the same column.
    """

    def __init__(self, items: Sequence[Item]) -> None:
        self._items = items
        self._made: dict[str, Column] = {}

    def __getitem__(self, key: str) -> Column:
        column = self._made.get(key)
        if column is None:
            values = [item.attributes.get(key) for item in self._items]
            if all(value is None for value in values):
                raise KeyError(key)
            column = self._made[key] = _column(key, values)
        return column

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys())

    def __len__(self) -> int:
        return len(self._keys())

    def _keys(self) -> dict[str, None]:
        return dict.fromkeys(
            key
            for item in self._items
            for key, value in item.attributes.items()
            if value is not None
        )


class WidenedColumns(Mapping[str, Column]):
    """The columns of one part of a catalogue, with the keys and kinds of the other part as well.

    A filter on a key that only the other part has then finds nothing here, and is no mistake.
    """

    def __init__(
        self, columns: Mapping[str, Column], others: Mapping[str, Column], size: int
    ) -> None:
        self._columns = columns
        self._others = others
        self._size = size

    def __getitem__(self, key: str) -> Column:
        column, other = self._columns.get(key), self._others.get(key)
        if other is None:
            return self._columns[key]
        return _widened(column or Column(key, "text", 0, (), self._size, None, None), other)

    def __iter__(self) -> Iterator[str]:
        return iter({**dict.fromkeys(self._columns), **dict.fromkeys(self._others)})

    def __len__(self) -> int:
        return len(self._columns.keys() | self._others.keys())


def _widened(column: Column, other: Column) -> Column:
    numbers = column.numbers
    if numbers is None and other.numbers is not None:
        # All of them missing, in the memory of one.
        numbers = np.broadcast_to(np.float64(np.nan), (column.size,))
    has_keywords = column.keywords is not None or other.keywords is not None
    kind = _kind(has_numbers=numbers is not None, has_keywords=has_keywords)
    return Column(
        column.key, kind, column.values, column.top, column.size, column.keywords, numbers
    )


def _kind(*, has_numbers: bool, has_keywords: bool) -> Kind:
    if has_numbers:
        return "mixed" if has_keywords else "number"
    return "keyword" if has_keywords else "text"


def _column(key: str, values: Sequence[AttributeValue]) -> Column:
    """Make a column by the same rules as `column_writer`, without a list of frequent values."""
    numbers = np.full(len(values), np.nan)
    hashes, rows = array("Q"), array("i")
    has_long_text = False
    for row, value in enumerate(values):
        if isinstance(value, int | float) and not isinstance(value, bool):
            numbers[row] = value
            continue
        keywords = dict.fromkeys(value) if isinstance(value, list) else [value]
        for keyword in keywords:
            if isinstance(keyword, str) and len(keyword) > MAX_KEYWORD_CHARACTERS:
                has_long_text = True
            elif isinstance(keyword, str | bool):
                hashes.append(hash_keyword(keyword))
                rows.append(row)
    has_numbers = not np.isnan(numbers).all()
    # An empty list is a keyword column too; a column of long texts alone is not.
    kind = _kind(has_numbers=has_numbers, has_keywords=bool(hashes))
    if kind == "text" and not has_long_text:
        kind = "keyword"
    return Column(
        key,
        kind,
        0,
        (),
        len(values),
        _keywords(hashes, rows) if kind in ("keyword", "mixed") else None,
        numbers if has_numbers else None,
    )


def _keywords(hashes: "array[int]", rows: "array[int]") -> Keywords:
    every = np.frombuffer(hashes, np.uint64)
    order = np.argsort(every, kind="stable")
    distinct, counts = np.unique(every, return_counts=True)
    starts = np.zeros(len(distinct) + 1, np.int64)
    np.cumsum(counts, out=starts[1:])
    return Keywords(distinct, starts, np.frombuffer(rows, np.int32)[order])
