"""The item table of one index version: rows, ids and columns in files, mapped into memory.

A table of a million items opens in milliseconds and costs the memory of the pages in use.

    items.jsonl         one item a line: {"id", "text", "attributes"}
    items.offsets.npy   int64 (n + 1,), where each line begins
    ids.*.npy           id -> row
    columns.json        the attributes: kind, number of values, the most frequent ones
    columns/            arrays by attribute, for filters
"""

import mmap
from array import array
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import orjson
from numpy.typing import NDArray

from service.catalogue.arrays import map_array, save_array
from service.catalogue.column_writer import ColumnsWriter
from service.catalogue.columns import Column, open_columns
from service.catalogue.ids import IdIndex, hash64, write_ids
from service.errors import CorruptArtifact, InvalidCatalogue
from service.types import AttributeValue, Item, ItemId, Rows

_ITEMS = "items.jsonl"
_OFFSETS = "items.offsets.npy"
_ID_START = b'{"id":'
# Cannot occur inside an id: JSON writes its quotes with a backslash before them.
_ID_END = b'","text":'
# Nor inside a text.
_TEXT_END = b'","attributes":'
_LINE_END_AT = len("}\n")


class TableWriter:
    """Writes a table item by item; get one from `writing_table`."""

    def __init__(self, folder: Path, lines: IO[bytes]) -> None:
        self._folder = folder
        self._lines = lines
        self._offsets = array("q", [0])
        self._hashes = array("Q")
        self._columns = ColumnsWriter(folder)

    def __len__(self) -> int:
        return len(self._hashes)

    def add(self, item: Item) -> None:
        """Write the next row.

        Raises:
            InvalidCatalogue: the items have more than 512 different attributes.
        """
        self._offsets.append(self._offsets[-1] + self._lines.write(_line(item)))
        self._columns.add(len(self._hashes), item)
        self._hashes.append(hash64(item.id.encode()))

    def finish(self) -> None:
        """Write what belongs to the whole table.

        Raises:
            InvalidCatalogue: no items, or an id twice.
        """
        if not len(self):
            raise InvalidCatalogue("There are no items to write.")
        self._lines.flush()
        offsets = np.frombuffer(self._offsets, np.int64)
        save_array(self._folder / _OFFSETS, offsets)
        with (self._folder / _ITEMS).open("rb") as written:

            def id_of(row: int) -> ItemId:
                written.seek(offsets[row])
                return ItemId(orjson.loads(written.readline())["id"])

            write_ids(np.frombuffer(self._hashes, np.uint64), self._folder, id_of)
        self._columns.save(len(self))


@contextmanager
def writing_table(folder: Path) -> Iterator[TableWriter]:
    """Yield a writer of a table, complete when the block ends without an error.

    Takes 16 bytes of memory an item: the items themselves go to the disk at once. The same items
    give the same bytes.

    Args:
        folder: exists, and holds no table yet.

    Raises:
        InvalidCatalogue: no items, an id twice, or too many different attributes.
        FileExistsError: the folder holds a table; versions are never edited.
    """
    with (folder / _ITEMS).open("xb") as lines:
        table = TableWriter(folder, lines)
        yield table
        table.finish()


def write_table(items: Iterable[Item], folder: Path) -> None:
    """Write a table of items with unique ids; row i is the i-th. See `writing_table`."""
    with writing_table(folder) as table:
        for item in items:
            table.add(item)


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
    lines: mmap.mmap
    """The items, one after the other, as `_line` writes them."""
    offsets: NDArray[np.int64]
    """int64 (n + 1,), where each line begins, and the end of the last."""
    ids: IdIndex
    """The row of an id."""

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
        return len(self.offsets) - 1

    def id(self, row: int) -> ItemId:
        """Return the id of a row, without reading the rest of the line."""
        start = self._start(row)
        end = self.lines.find(_ID_END, start)
        return ItemId(orjson.loads(self.lines[start + len(_ID_START) : end + 1]))

    def written(self, rows: Rows) -> list[tuple[bytes, bytes]]:
        """Return id and attributes of some rows as JSON, as they lie there: nothing is parsed.

        Args:
            rows: int64 (n,).

        Raises:
            IndexError: a row that the table does not have.
        """
        if len(rows) and not 0 <= rows.min() <= rows.max() < len(self):
            raise IndexError(f"rows {rows.min()} to {rows.max()} of a table of {len(self)} items")
        found, lines = [], self.lines
        starts, ends = self.offsets[rows].tolist(), self.offsets[rows + 1].tolist()
        for start, end in zip(starts, ends, strict=True):
            id_end = lines.find(_ID_END, start, end)
            text_end = lines.find(_TEXT_END, id_end, end)
            item_id = lines[start + len(_ID_START) : id_end + 1]
            found.append((item_id, lines[text_end + len(_TEXT_END) : end - _LINE_END_AT]))
        return found

    def row(self, item_id: str) -> int | None:
        """Return the row of an id, None if the table does not hold it."""
        for row in self.ids.candidates(item_id):
            if self.id(row) == item_id:
                return row
        return None

    def rows(self, item_ids: Iterable[str]) -> list[int | None]:
        """Return the row of each id, in order, None where the table does not hold it."""
        return [self.row(item_id) for item_id in item_ids]

    def item(self, row: int) -> Item:
        """Return a whole item."""
        start = self._start(row)
        return Item(**orjson.loads(self.lines[start : self.offsets[row + 1]]))

    def text(self, row: int) -> str:
        """Return the sentence that was embedded."""
        return self.item(row).text

    def attributes(self, row: int) -> dict[str, AttributeValue]:
        """Return everything of an item but its id and text, sorted by key."""
        return dict(self.item(row).attributes)

    def _start(self, row: int) -> int:
        if not 0 <= row < len(self):
            raise IndexError(f"row {row} of a table of {len(self)} items")
        return int(self.offsets[row])


def _map_lines(path: Path) -> mmap.mmap:
    try:
        with path.open("rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:
        raise CorruptArtifact(f"{path} cannot be read: {error}.") from error
