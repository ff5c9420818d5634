"""What the compiled library reads in the item table: items of an answer, and rows of ids."""

import ctypes
from array import array
from collections.abc import Callable, Sequence
from itertools import accumulate

import numpy as np
import orjson

from service.catalogue.columns import Column
from service.catalogue.ids import hash64
from service.catalogue.table import ItemTable
from service.errors import CorruptArtifact
from service.index.native.calls import address, function
from service.index.native.library import open_library
from service.types import ItemId, Scalar

_NO_SUCH_ROW, _NOT_A_LINE = -1, -2
# Of an item that is not known yet; where it takes more, it is written once more.
_USUAL_BYTES = 512


class ItemLines:
    """Reads a table that is mapped into memory. Safe to share between threads.

    Args:
        table: what to read.
    """

    def __init__(self, table: ItemTable) -> None:
        library = open_library()
        assert library is not None, "see is_compiled"
        self._write = function(library, "magpie_items", "ppqppqspqp", "q")
        self._find = function(library, "magpie_row", "ppqppQsq", "q")
        self._share = function(library, "magpie_shared", "ppqppqsqqp", "q")
        columns = [each for each in table.columns.values() if each.kind == "keyword"]
        self._columns = b"".join([_counting(each) + b"\n" for each in columns])
        # The library is given bare addresses: what they belong to has to live as long as this.
        hashes, places = table.ids.hashes, table.ids.rows
        self._kept = lines, offsets, *_ = (
            np.frombuffer(table.lines, np.uint8),
            table.offsets,
            hashes,
            places,
        )
        self._from = address(lines), address(offsets), len(table)
        self._ids = address(hashes), address(places)

    def row(self, item_id: ItemId) -> int | None:
        """Return the row of an id, None if the table does not hold it."""
        try:
            written = orjson.dumps(item_id)
        except orjson.JSONEncodeError:
            # A lone surrogate, which no stored id has.
            return None
        found = self._find(*self._from, *self._ids, hash64(item_id.encode()), written, len(written))
        return None if found == _NO_SUCH_ROW else found

    def items(
        self, rows: Sequence[int], scores: Sequence[float], tails: Sequence[bytes] = ()
    ) -> bytes:
        """Write items as `{"id":…,"score":…,"fields":{…}…}`, with commas between them.

        Args:
            rows: of the table.
            scores: one for each; written to six digits behind the point.
            tails: what each item has behind its fields, if any has.

        Raises:
            IndexError: a row that the table does not have.
            CorruptArtifact: a line that is no item.
        """
        count = len(rows)
        # Their addresses are to be had at a fifth of the price of a NumPy array's.
        places, values = array("q", rows), array("d", scores)
        ends = array("q", accumulate(map(len, tails)))
        given = (
            *self._from,
            places.buffer_info()[0],
            values.buffer_info()[0],
            count,
            b"".join(tails) if tails else None,
            ends.buffer_info()[0],
        )
        return self._written(count, rows, lambda room, at: self._write(*given, room, at))

    def shared(
        self, rows: Sequence[int], seeds: Sequence[int]
    ) -> list[dict[str, Sequence[Scalar]]]:
        """Name the texts in attributes of each item that a seed of its own has as well.

        Left out are attributes that are no keywords, and values that are commonplace.

        Args:
            rows: of the table.
            seeds: one for each; -1 for none.

        Raises:
            IndexError, CorruptArtifact: as for `items`.
        """
        count = len(rows)
        places, others = array("q", rows), array("q", seeds)
        given = (
            *self._from,
            *(places.buffer_info()[0], others.buffer_info()[0], count),
            *(self._columns, len(self._columns)),
        )
        written = self._written(count, rows, lambda room, at: self._share(*given, room, at))
        found: list[dict[str, Sequence[Scalar]]] = orjson.loads(written)
        return found

    def _written(self, count: int, rows: Sequence[int], write: Callable[[int, int], int]) -> bytes:
        """What is written for so many items, given its room and where that is."""
        room = count * _USUAL_BYTES
        while True:
            written = bytearray(room)
            at = ctypes.addressof(ctypes.c_char.from_buffer(written)) if room else 0
            needed = write(room, at)
            if needed <= room:
                break
            room = needed
        if needed == _NO_SUCH_ROW:
            raise IndexError(f"rows {min(rows)} to {max(rows)} of a table of {self._from[2]}")
        if needed == _NOT_A_LINE:
            raise CorruptArtifact("A line of the item table is no item.", "Build the index again.")
        return bytes(memoryview(written)[:needed])


def _counting(column: Column) -> bytes:
    """The key of a column and its commonplace values, in JSON, a tab behind each."""
    texts = sorted([each for each in column.commonplace if isinstance(each, str)])
    return b"".join([orjson.dumps(each) + b"\t" for each in (column.key, *texts)])
