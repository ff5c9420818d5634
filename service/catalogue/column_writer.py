"""Writes the columns of an item table: collected item by item, sorted once, saved."""

from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
import orjson
from numpy.typing import NDArray

from service.catalogue.arrays import save_array
from service.catalogue.columns import FOLDER, LISTING, Kind, column_stem, hash_keyword
from service.errors import InvalidCatalogue
from service.types import Item, Scalar

MAX_COLUMNS = 512
MAX_KEYWORD_CHARACTERS = 256
_LISTED_VALUES = 1000
_TOP_VALUES = 100

_Counted: TypeAlias = list[tuple[Scalar, int]]


def write_columns(items: Sequence[Item], folder: Path) -> None:
    """Write one column for each attribute of the items, and the listing of them.

    Raises:
        InvalidCatalogue: the items have more than 512 different attributes.
    """
    columns: dict[str, _ColumnWriter] = {}
    for row, item in enumerate(items):
        for key, value in item.attributes.items():
            if value is None:
                continue
            column = columns.get(key)
            if column is None:
                column = columns[key] = _ColumnWriter()
                _check_count(len(columns))
            column.add(row, value)
    (folder / FOLDER).mkdir()
    listing = {
        key: {"number": number, **columns[key].save(column_stem(folder, number), len(items))}
        for number, key in enumerate(sorted(columns))
    }
    options = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
    (folder / LISTING).write_bytes(orjson.dumps(listing, option=options))


def _check_count(columns: int) -> None:
    if columns > MAX_COLUMNS:
        raise InvalidCatalogue(
            f"The items have more than {MAX_COLUMNS} different attributes.",
            "Put what varies into the values, for example as a list of tags.",
        )


class _ColumnWriter:
    """The values of one attribute, 12 bytes each, until they are saved."""

    def __init__(self) -> None:
        self._hashes = array("Q")
        self._hash_rows = array("i")
        self._numbers = array("d")
        self._number_rows = array("i")
        self._has_long_text = False
        # Values for the listing, and hashes that need not be computed again.
        self._known: dict[str | bool, int] = {}

    def add(self, row: int, value: Scalar | list[str]) -> None:
        """Record what item `row` has; rows come in ascending order."""
        if isinstance(value, list):
            for entry in dict.fromkeys(value):
                self._add_keyword(row, entry)
        elif isinstance(value, str | bool):
            self._add_keyword(row, value)
        else:
            self._number_rows.append(row)
            self._numbers.append(value)

    def _add_keyword(self, row: int, value: str | bool) -> None:
        if isinstance(value, str) and len(value) > MAX_KEYWORD_CHARACTERS:
            self._has_long_text = True
            return
        hashed = self._known.get(value)
        if hashed is None:
            hashed = hash_keyword(value)
            if len(self._known) <= _LISTED_VALUES:
                self._known[value] = hashed
        self._hashes.append(hashed)
        self._hash_rows.append(row)

    def save(self, stem: Path, size: int) -> dict[str, object]:
        """Write the files of the column; returns its entry in the listing."""
        kind = self._kind()
        distinct = 0
        counted: _Counted = []
        if kind in ("keyword", "mixed"):
            distinct, counted = self._save_keywords(stem)
        if kind in ("number", "mixed"):
            more, numbers = self._save_numbers(stem, size)
            distinct, counted = distinct + more, counted + numbers
        top = sorted(counted, key=lambda pair: (-pair[1], str(pair[0])))[:_TOP_VALUES]
        return {"kind": kind, "values": distinct, "top": top if distinct <= _LISTED_VALUES else []}

    def _kind(self) -> Kind:
        if self._numbers:
            return "mixed" if self._hashes else "number"
        return "text" if self._has_long_text and not self._hashes else "keyword"

    def _save_keywords(self, stem: Path) -> tuple[int, _Counted]:
        hashes = np.frombuffer(self._hashes, np.uint64)
        order = np.argsort(hashes, kind="stable")
        distinct, counts = np.unique(hashes, return_counts=True)
        starts = np.zeros(len(distinct) + 1, np.int64)
        np.cumsum(counts, out=starts[1:])
        save_array(stem.with_suffix(".hashes.npy"), distinct)
        save_array(stem.with_suffix(".indptr.npy"), starts)
        save_array(stem.with_suffix(".rows.npy"), np.frombuffer(self._hash_rows, np.int32)[order])
        return len(distinct), self._counted_keywords(distinct, counts)

    def _counted_keywords(
        self, distinct: NDArray[np.uint64], counts: NDArray[np.int64]
    ) -> _Counted:
        if len(distinct) > _LISTED_VALUES:
            return []
        items = dict(zip(distinct.tolist(), counts.tolist(), strict=True))
        return [(value, items[hashed]) for value, hashed in self._known.items()]

    def _save_numbers(self, stem: Path, size: int) -> tuple[int, _Counted]:
        numbers = np.frombuffer(self._numbers, np.float64)
        column = np.full(size, np.nan)
        column[np.frombuffer(self._number_rows, np.int32)] = numbers
        save_array(stem.with_suffix(".numbers.npy"), column)
        distinct, counts = np.unique(numbers, return_counts=True)
        if len(distinct) > _LISTED_VALUES:
            return len(distinct), []
        shown = map(_shortest, distinct.tolist())
        return len(distinct), list(zip(shown, counts.tolist(), strict=True))


def _shortest(number: float) -> int | float:
    """Return 7 for 7.0, as the catalogue most likely has it."""
    return int(number) if number.is_integer() and abs(number) < 2**53 else number
