"""What a filter leaves, in the shapes that a search needs, worked out once for each mask."""

import threading
import weakref
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.types import Mask, Rows

_REMEMBERED = 64
# Up to so many allowed rows are compared by their full vectors, beyond by their codes first.
_EXACT = 1_000
# Of up to 20,000 rows the true ten were always among so many; docs/benchmarks/index.md.
_AGAIN = 64


@dataclass(frozen=True, slots=True, eq=False)
class Selection:
    """The rows that a mask allows.

    Attributes:
        mask: bool (n,).
        count: how many are allowed.
        rows: int64 (count,), ascending, if there are at most `few`; else None.
        nodes: int32 (count,), their positions in the index, ascending; None with `rows`.
        bits: uint8, one bit a position of the index, lowest first, if there are more; else None.
        in_lists: int32, how many are allowed in each list of the index; None without lists or bits.
    """

    mask: Mask
    count: int
    rows: Rows | None
    nodes: NDArray[np.int32] | None
    bits: NDArray[np.uint8] | None
    in_lists: NDArray[np.int32] | None

    @classmethod
    def of(
        cls,
        mask: Mask,
        order: NDArray[np.int32] | None,
        few: int,
        starts: NDArray[np.int32] | None = None,
    ) -> "Selection":
        """Work a mask out.

        Args:
            mask: bool (n,).
            order: the row at each position of the index, None if they are the same.
            few: up to how many allowed rows are looked at one by one.
            starts: the first position of each list, and the end of the last; None without lists.
        """
        count = int(np.count_nonzero(mask))
        placed = mask if order is None else mask[order]
        if count <= few:
            nodes = np.flatnonzero(placed).astype(np.int32)
            return cls(mask, count, np.flatnonzero(mask), nodes, None, None)
        in_lists = None
        if starts is not None:
            before = np.concatenate(([0], placed.cumsum(dtype=np.int32)))
            in_lists = np.diff(before[starts]).astype(np.int32)
        return cls(mask, count, None, None, np.packbits(placed, bitorder="little"), in_lists)

    @property
    def fits_codes(self) -> bool:
        """Whether `CodeSearch` has a way to it: to few rows, or to many by lists."""
        return self.nodes is not None or self.in_lists is not None

    @property
    def again(self) -> int:
        """How many of few rows at least are scored by their full vectors: all, or the best."""
        return self.count if self.count <= _EXACT else _AGAIN


class Selections:
    """Remembers the selections of the latest masks that nobody can write to.

    A filter that was compiled once comes back as the very same read-only mask, and what follows
    from it need not be worked out again. A mask that can be written to is never remembered.

    Args:
        order: int32 (n,), the row at each position of the index; None if they are the same.
        few: up to how many allowed rows are searched one by one.
        starts: where the lists of the index start and end; None without lists.
    """

    def __init__(
        self,
        order: NDArray[np.int32] | None,
        few: int,
        starts: NDArray[np.int32] | None = None,
    ) -> None:
        self._order = order
        self._few = few
        self._starts = starts
        self._lock = threading.Lock()
        self._known: OrderedDict[int, tuple[weakref.ref[Mask], Selection]] = OrderedDict()

    def of(self, mask: Mask) -> Selection:
        """Return what a mask leaves."""
        if mask.flags.writeable:
            return Selection.of(mask, self._order, self._few, self._starts)
        with self._lock:
            known = self._known.get(id(mask))
            # Another array may live where a forgotten one did.
            if known is not None and known[0]() is mask:
                self._known.move_to_end(id(mask))
                return known[1]
        selection = Selection.of(mask, self._order, self._few, self._starts)
        with self._lock:
            self._known[id(mask)] = (weakref.ref(mask), selection)
            while len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        return selection
