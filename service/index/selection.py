"""What a filter leaves, in the shapes that a search needs, worked out once for each mask."""

import threading
import weakref
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.types import Mask, Rows

_REMEMBERED = 64


@dataclass(frozen=True, slots=True, eq=False)
class Selection:
    """The rows that a mask allows.

    Attributes:
        mask: bool (n,).
        count: how many are allowed.
        rows: int64 (count,), ascending, if there are at most `few`; else None.
        bits: uint8, one bit a position of the index, lowest first, if there are more; else None.
    """

    mask: Mask
    count: int
    rows: Rows | None
    bits: NDArray[np.uint8] | None

    @classmethod
    def of(cls, mask: Mask, order: NDArray[np.int32] | None, few: int) -> "Selection":
        """Work a mask out. `order` is the row at each position of the index, None if the same."""
        count = int(np.count_nonzero(mask))
        if count <= few:
            return cls(mask, count, np.flatnonzero(mask), None)
        placed = mask if order is None else mask[order]
        return cls(mask, count, None, np.packbits(placed, bitorder="little"))


class Selections:
    """Remembers the selections of the latest masks that nobody can write to.

    A filter that was compiled once comes back as the very same read-only mask, and what follows
    from it need not be worked out again. A mask that can be written to is never remembered.

    Args:
        order: int32 (n,), the row at each position of the index; None if they are the same.
        few: up to how many allowed rows are searched one by one.
    """

    def __init__(self, order: NDArray[np.int32] | None, few: int) -> None:
        self._order = order
        self._few = few
        self._lock = threading.Lock()
        self._known: OrderedDict[int, tuple[weakref.ref[Mask], Selection]] = OrderedDict()

    def of(self, mask: Mask) -> Selection:
        """Return what a mask leaves."""
        if mask.flags.writeable:
            return Selection.of(mask, self._order, self._few)
        with self._lock:
            known = self._known.get(id(mask))
            # Another array may live where a forgotten one did.
            if known is not None and known[0]() is mask:
                self._known.move_to_end(id(mask))
                return known[1]
        selection = Selection.of(mask, self._order, self._few)
        with self._lock:
            self._known[id(mask)] = (weakref.ref(mask), selection)
            while len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        return selection
