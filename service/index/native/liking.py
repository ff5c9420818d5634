"""Scores of items by what is liked, from the compiled library, where `is_compiled`."""

import ctypes
from functools import lru_cache

import numpy as np

from service.index.native.calls import Function, address, function
from service.index.native.library import open_library
from service.types import Rows, Scores, Vector, Vectors

_OUT_OF_MEMORY = -1


class _Matrices(ctypes.Structure):
    """`struct matrices` of liking.c."""

    _fields_ = (
        ("frozen", ctypes.c_void_p),
        ("fresh", ctypes.c_void_p),
        ("size", ctypes.c_int64),
        ("dim", ctypes.c_int64),
    )


class LikingByRow:
    """Scores rows of a version and of fresh items where their vectors lie. Safe between threads.

    Args:
        frozen: float32 (n, dim), C order, the vectors of rows 0 to n - 1.
        fresh: float32 (m, dim), C order, those of the rows that follow.
    """

    def __init__(self, frozen: Vectors, fresh: Vectors) -> None:
        # The library is given bare addresses: what they belong to has to live as long as this.
        self._kept = frozen, fresh
        self._dim = frozen.shape[1]
        self._matrices = _Matrices(address(frozen), address(fresh), *frozen.shape)
        self._from = ctypes.addressof(self._matrices)

    def best(
        self,
        found: tuple[Rows, Scores],
        hidden: Rows,
        liked: tuple[Vectors, Vector],
        disliked: tuple[Vectors, Vector],
    ) -> tuple[Rows, Scores, Vectors, int]:
        """Score what was found by the best weighted similarity to what is liked.

        Args:
            found: int64 (n,) rows, -1 where there is none, and float32 (n,) scores; where one is
                not finite the row has none that is usable.
            hidden: int64, rows to leave out.
            liked, disliked: float32 (p, dim), and weights float32 (p,).

        Returns:
            Rows, none twice, and their scores, descending, the lower row first among equals; their
            vectors; and how many had no usable score.
        """
        rows, likeness = found
        count = len(rows)
        kept, scores = np.empty(count, np.int64), np.empty(count, np.float32)
        vectors = np.empty((count, self._dim), np.float32)
        unscored = ctypes.c_int64(0)
        left = _best()(
            self._from,
            *(address(rows), address(likeness), count, address(hidden), len(hidden)),
            *(address(liked[0]), address(liked[1]), len(liked[0])),
            *(address(disliked[0]), address(disliked[1]), len(disliked[0])),
            *(address(kept), address(scores), address(vectors), ctypes.addressof(unscored)),
        )
        if left == _OUT_OF_MEMORY:
            raise MemoryError("no memory for a list")
        return kept[:left], scores[:left], vectors[:left], unscored.value


def largest_shares(
    items: Vectors, parts: Vectors, weights: Vector, *, is_sum: bool, shown: int, smallest: float
) -> tuple[list[int], list[float], list[int]]:
    """Name the largest shares that parts have in the scores of items.

    Args:
        items: float32 (n, dim), C order.
        parts: float32 (p, dim), C order.
        weights: float32 (p,).
        is_sum: whether a score is a sum, or the largest.
        shown: how many to name for an item at most.
        smallest: which.

    Returns:
        Parts and shares of all items, largest first within one; and where those of each end.
    """
    count, dim = items.shape
    named, sizes = np.empty(count * shown, np.int64), np.empty(count * shown, np.float64)
    ends = np.empty(count, np.int64)
    size = _shares()(
        *(address(items), count, dim, address(parts), address(weights), len(parts)),
        *(is_sum, shown, smallest, address(named), address(sizes), address(ends)),
    )
    if size == _OUT_OF_MEMORY:
        raise MemoryError("no memory for shares")
    return named[:size].tolist(), sizes[:size].tolist(), ends.tolist()


@lru_cache(maxsize=1)
def _best() -> Function:
    library = open_library()
    assert library is not None, "see is_compiled"
    return function(library, "magpie_best", "pppqpqppqppqpppp", "q")


@lru_cache(maxsize=1)
def _shares() -> Function:
    library = open_library()
    assert library is not None, "see is_compiled"
    return function(library, "magpie_shares", "pqqppqiqdppp", "q")
