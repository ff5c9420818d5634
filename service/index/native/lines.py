"""Items of an answer, put together by the compiled library from the lines of the item table."""

import ctypes

import numpy as np

from service.catalogue.table import ItemTable
from service.errors import CorruptArtifact
from service.index.native.calls import address, function
from service.index.native.library import open_library
from service.types import Rows

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
        self._write = function(library, "magpie_items", "ppqpqsqqpp", "q")
        # The library is given bare addresses: what they belong to has to live as long as this.
        self._kept = lines, offsets = np.frombuffer(table.lines, np.uint8), table.offsets
        self._from = address(lines), address(offsets), len(table)

    def opened(self, rows: Rows, scores: bytes) -> list[bytes]:
        """Write items as `{"id":…,"score":…,"fields":{…}`, without the closing brace.

        Args:
            rows: int64 (n,), C order.
            scores: n numbers in JSON, with commas between them.

        Raises:
            IndexError: a row that the table does not have.
            CorruptArtifact: a line that is no item.
        """
        count = len(rows)
        if not count:
            return []
        ends = np.empty(count, np.int64)
        given = *self._from, address(rows), count, scores, len(scores)
        room = count * _USUAL_BYTES
        while True:
            written = bytearray(room)
            at = ctypes.addressof(ctypes.c_char.from_buffer(written))
            needed = self._write(*given, room, at, address(ends))
            if needed <= room:
                break
            room = needed
        if needed == _NO_SUCH_ROW:
            raise IndexError(f"rows {rows.min()} to {rows.max()} of a table of {self._from[2]}")
        if needed == _NOT_A_LINE:
            raise CorruptArtifact("A line of the item table is no item.", "Build the index again.")
        content, stops = bytes(written), ends.tolist()
        return [content[start:stop] for start, stop in zip([0, *stops], stops, strict=False)]
