"""The seam between vectors and whatever finds the nearest of them."""

from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from service.types import Mask, Rows, Vectors

Neighbours: TypeAlias = tuple[NDArray[np.int64], NDArray[np.float32]]
"""int64 (q, k) rows and float32 (q, k) scores, best first, padded with row -1 and score -inf."""


class Retriever(Protocol):
    """Finds the rows of the largest inner product. Never changes once it is made."""

    @property
    def dim(self) -> int:
        """Numbers in a vector."""
        ...

    @property
    def size(self) -> int:
        """Vectors that can be found."""
        ...

    def search(
        self, queries: Vectors, k: int, allowed: Mask | None = None, near: Rows | None = None
    ) -> Neighbours:
        """Find the k best rows for every query.

        Args:
            queries: float32 (q, dim), finite; of any norm.
            k: how many, > 0.
            allowed: bool (size,), or None for all.
            near: int64 (q,), for each query a row that is known to be near, -1 where none is: a
                hint where to begin.

        Returns:
            Rows and scores, descending by score. A list is padded with row -1 and score -inf
            only where fewer than k rows are allowed: a search is never silently short.

        Raises:
            ValueError: a wrong shape, k < 1, or a query that is not finite.
        """
        ...


def check_search(queries: Vectors, k: int, allowed: Mask | None, *, dim: int, size: int) -> Vectors:
    """Refuse arguments that no retriever can answer; returns the queries as C-order float32.

    Whether they are finite is for `check_finite` to see, where the search itself does not.

    Raises:
        ValueError: a wrong shape, or k < 1.
    """
    if queries.ndim != 2 or queries.shape[1] != dim:
        raise ValueError(f"queries must be (q, {dim}), got {queries.shape}")
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    if allowed is not None and (allowed.shape != (size,) or allowed.dtype != np.bool_):
        raise ValueError(f"allowed must be bool ({size},), got {allowed.dtype} {allowed.shape}")
    return np.ascontiguousarray(queries, dtype=np.float32)


def check_finite(queries: Vectors) -> None:
    """Refuse numbers that FAISS and NumPy would answer with anything.

    Raises:
        ValueError: a query is not finite.
    """
    if not np.isfinite(queries).all():
        raise ValueError("queries must be finite")


def padded(queries: int, k: int) -> Neighbours:
    """Make an answer in which nothing has been found yet."""
    rows = np.full((queries, k), -1, dtype=np.int64)
    scores = np.full((queries, k), -np.inf, dtype=np.float32)
    return rows, scores


def without(
    rows: NDArray[np.int64], scores: NDArray[np.float32], blocked: Rows, k: int
) -> Neighbours:
    """Drop rows from answers and cut them to k.

    Args:
        rows, scores: (q, n), padded as a `Retriever` pads.
        blocked: int64, ascending.
        k: how many to keep for each query.
    """
    if not len(blocked):
        return rows, scores
    position = np.minimum(blocked.searchsorted(rows), len(blocked) - 1)
    is_blocked = blocked[position] == rows
    rows, scores = np.where(is_blocked, -1, rows), np.where(is_blocked, -np.inf, scores)
    order = np.argsort(rows < 0, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(rows, order, 1), np.take_along_axis(scores, order, 1)
