"""The item table of one index version: rows, ids and columns in files, mapped into memory.

A table of a million items opens in milliseconds and costs the memory of the pages in use.

    items.jsonl         one item a line: {"id", "text", "attributes"}
    items.offsets.npy   int64 (n + 1,), where each line begins
    ids.*.npy           id -> row
    columns.json        the attributes: kind, number of values, the most frequent ones
    columns/            arrays by attribute, for filters
"""

import mmap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import orjson
from numpy.typing import NDArray

from service.catalogue.arrays import map_array, save_array
from service.catalogue.column_writer import write_columns
from service.catalogue.columns import Column, open_columns
from service.catalogue.ids import IdIndex, write_ids
from service.errors import CorruptArtifact, InvalidCatalogue
from service.types import AttributeValue, Item, ItemId

_ITEMS = "items.jsonl"
_OFFSETS = "items.offsets.npy"
_ID_START = b'{"id":'
# Cannot occur inside an id: JSON writes its quotes with a backslash before them.
_ID_END = b'","text":'


def write_table(items: Sequence[Item], folder: Path) -> None:
    """Write a table; row i is items[i]. The same items give the same bytes.

    Args:
        items: at least one, ids unique.
        folder: exists, and holds no table yet.

    Raises:
        InvalidCatalogue: no items, an id twice, or too many different attributes.
        FileExistsError: the folder holds a table; versions are never edited.
    """
    if not items:
        raise InvalidCatalogue("There are no items to write.")
    save_array(folder / _OFFSETS, _write_lines(items, folder / _ITEMS))
    write_ids([item.id for item in items], folder)
    write_columns(items, folder)


def _write_lines(items: Sequence[Item], path: Path) -> NDArray[np.int64]:
    offsets = np.zeros(len(items) + 1, np.int64)
    with path.open("xb") as file:
        for row, item in enumerate(items):
            offsets[row + 1] = offsets[row] + file.write(_line(item))
    return offsets


def _line(item: Item) -> bytes:
    attributes = orjson.dumps(item.attributes, option=orjson.OPT_SORT_KEYS)
    return b'{"id":%b,"text":%b,"attributes":%b}\n' % (
        orjson.dumps(item.id),
        orjson.dumps(item.text),
        attributes,
    )


@dataclass(frozen=True, slots=True, eq=False)
class ItemTable:
    """Read access to a table. Safe to share between threads; `open` is the way to get one.

    Rows are 0 to len(table) - 1; any other row, so also FAISS's filler -1, is an IndexError.
    """

    columns: Mapping[str, Column]
    _lines: mmap.mmap
    _offsets: NDArray[np.int64]
    _ids: IdIndex

    @classmethod
    def open(cls, folder: Path) -> "ItemTable":
        """Map the table in a folder.

        Raises:
            CorruptArtifact: a file is missing, or the files do not fit together. Bytes changed
                inside a file are found by the checksums of the version, not here.
        """
        offsets = map_array(folder / _OFFSETS, np.int64)
        lines = _map_lines(folder / _ITEMS)
        if len(offsets) < 2 or offsets[0] != 0 or offsets[-1] != len(lines):
            raise CorruptArtifact(f"{folder / _ITEMS} does not fit {_OFFSETS}.")
        size = len(offsets) - 1
        return cls(open_columns(folder, size), lines, offsets, IdIndex.open(folder, size))

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def id(self, row: int) -> ItemId:
        """Return the id of a row, without reading the rest of the line."""
        start = self._start(row)
        end = self._lines.find(_ID_END, start)
        return ItemId(orjson.loads(self._lines[start + len(_ID_START) : end + 1]))

    def row(self, item_id: str) -> int | None:
        """Return the row of an id, None if the table does not hold it."""
        for row in self._ids.candidates(item_id):
            if self.id(row) == item_id:
                return row
        return None

    def rows(self, item_ids: Iterable[str]) -> list[int | None]:
        """Return the row of each id, in order, None where the table does not hold it."""
        return [self.row(item_id) for item_id in item_ids]

    def item(self, row: int) -> Item:
        """Return a whole item."""
        start = self._start(row)
        return Item(**orjson.loads(self._lines[start : self._offsets[row + 1]]))

    def text(self, row: int) -> str:
        """Return the sentence that was embedded."""
        return self.item(row).text

    def attributes(self, row: int) -> dict[str, AttributeValue]:
        """Return everything of an item but its id and text, sorted by key."""
        return dict(self.item(row).attributes)

    def _start(self, row: int) -> int:
        if not 0 <= row < len(self):
            raise IndexError(f"row {row} of a table of {len(self)} items")
        return int(self._offsets[row])


def _map_lines(path: Path) -> mmap.mmap:
    try:
        with path.open("rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:
        raise CorruptArtifact(f"{path} cannot be read: {error}.") from error
