"""Writes the columns of an item table: collected item by item, sorted once, saved."""

import shutil
from pathlib import Path
from typing import TypeAlias

import numpy as np
import orjson
from numpy.typing import NDArray

from service.catalogue.arrays import save_array
from service.catalogue.columns import FOLDER, LISTING, Kind, column_stem, hash_keyword
from service.catalogue.spill import Spill
from service.errors import InvalidCatalogue
from service.types import Item, Scalar

MAX_COLUMNS = 512
MAX_KEYWORD_CHARACTERS = 256
_LISTED_VALUES = 1000
_TOP_VALUES = 100
_SPILLS = ".spills"

_Counted: TypeAlias = list[tuple[Scalar, int]]


class ColumnsWriter:
    """Collects one column for each attribute, then writes them and the listing of them.

    Args:
        folder: of the table. What does not fit into memory waits in a subfolder of it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._spills = folder / _SPILLS
        self._spills.mkdir()
        self._columns: dict[str, _ColumnWriter] = {}

    def add(self, row: int, item: Item) -> None:
        """Record the attributes of an item; rows come in ascending order.

        Raises:
            InvalidCatalogue: the items have more than 512 different attributes.
        """
        for key, value in item.attributes.items():
            if value is None:
                continue
            column = self._columns.get(key)
            if column is None:
                _check_count(len(self._columns) + 1)
                column = _ColumnWriter(self._spills / str(len(self._columns)))
                self._columns[key] = column
            column.add(row, value)

    def save(self, size: int) -> None:
        """Write all columns of a table of `size` items, one after the other."""
        (self._folder / FOLDER).mkdir()
        listing = {
            key: {
                "number": number,
                **self._columns[key].save(column_stem(self._folder, number), size),
            }
            for number, key in enumerate(sorted(self._columns))
        }
        options = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
        (self._folder / LISTING).write_bytes(orjson.dumps(listing, option=options))
        shutil.rmtree(self._spills)


def _check_count(columns: int) -> None:
    if columns > MAX_COLUMNS:
        raise InvalidCatalogue(
            f"The items have more than {MAX_COLUMNS} different attributes.",
            "Put what varies into the values, for example as a list of tags.",
        )


class _ColumnWriter:
    """The values of one attribute, until they are saved."""

    def __init__(self, spill: Path) -> None:
        self._hashes = Spill(spill.with_suffix(".hashes"), np.uint64)
        self._hash_rows = Spill(spill.with_suffix(".hash-rows"), np.int32)
        self._numbers = Spill(spill.with_suffix(".numbers"), np.float64)
        self._number_rows = Spill(spill.with_suffix(".number-rows"), np.int32)
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
        if len(self._numbers):
            return "mixed" if len(self._hashes) else "number"
        return "text" if self._has_long_text and not len(self._hashes) else "keyword"

    def _save_keywords(self, stem: Path) -> tuple[int, _Counted]:
        hashes = self._hashes.read()
        order = np.argsort(hashes, kind="stable")
        distinct, counts = np.unique(hashes, return_counts=True)
        starts = np.zeros(len(distinct) + 1, np.int64)
        np.cumsum(counts, out=starts[1:])
        save_array(stem.with_suffix(".hashes.npy"), distinct)
        save_array(stem.with_suffix(".indptr.npy"), starts)
        save_array(stem.with_suffix(".rows.npy"), self._hash_rows.read()[order])
        return len(distinct), self._counted_keywords(distinct, counts)

    def _counted_keywords(
        self, distinct: NDArray[np.uint64], counts: NDArray[np.int64]
    ) -> _Counted:
        if len(distinct) > _LISTED_VALUES:
            return []
        items = dict(zip(distinct.tolist(), counts.tolist(), strict=True))
        return [(value, items[hashed]) for value, hashed in self._known.items()]

    def _save_numbers(self, stem: Path, size: int) -> tuple[int, _Counted]:
        numbers = self._numbers.read()
        column = np.full(size, np.nan)
        column[self._number_rows.read()] = numbers
        save_array(stem.with_suffix(".numbers.npy"), column)
        distinct, counts = np.unique(numbers, return_counts=True)
        if len(distinct) > _LISTED_VALUES:
            return len(distinct), []
        shown = map(_shortest, distinct.tolist())
        return len(distinct), list(zip(shown, counts.tolist(), strict=True))


def _shortest(number: float) -> int | float:
    """Return 7 for 7.0, as the catalogue most likely has it."""
    return int(number) if number.is_integer() and abs(number) < 2**53 else number
