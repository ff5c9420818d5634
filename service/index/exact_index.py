"""The oracle: every inner product is computed, nothing approximated."""

import faiss
import numpy as np

from service.index.retriever import Neighbours, check_finite, check_search, padded
from service.types import Mask, Rows, Scores, Vector, Vectors

# One block of gathered rows stays within a core's cache at the usual 384 dimensions.
_BLOCK_ROWS = 2048
# Scores held at once, 128 MB: bounds memory when many queries meet many rows.
_SCORES_AT_ONCE = 32_000_000


class ExactIndex:
    """Exact search over all vectors, or over those that a mask leaves.

    Args:
        vectors: float32 (n, dim), C order; may be memory-mapped. Norms may differ.
    """

    def __init__(self, vectors: Vectors) -> None:
        self._vectors = vectors

    @property
    def dim(self) -> int:
        """Numbers in a vector."""
        return int(self._vectors.shape[1])

    @property
    def size(self) -> int:
        """Vectors that can be found."""
        return len(self._vectors)

    def search(
        self, queries: Vectors, k: int, allowed: Mask | None = None, near: Rows | None = None
    ) -> Neighbours:
        """Find the k best rows for every query; see `Retriever.search`. Ties: lowest row first."""
        queries = check_search(queries, k, allowed, dim=self.dim, size=self.size)
        check_finite(queries)
        rows = np.arange(self.size) if allowed is None else np.flatnonzero(allowed)
        found, scores = padded(len(queries), k)
        step = max(1, _SCORES_AT_ONCE // max(1, len(rows)))
        for start in range(0, len(queries), step):
            table = self._scores(queries[start : start + step], rows)
            for offset, line in enumerate(table, start):
                best, best_scores = best_rows(rows, line, k)
                found[offset, : len(best)] = best
                scores[offset, : len(best)] = best_scores
        return found, scores

    def _scores(self, queries: Vectors, rows: Rows) -> Vectors:
        table = np.empty((len(queries), len(rows)), dtype=np.float32)
        everything = len(rows) == self.size
        for start in range(0, len(rows), _BLOCK_ROWS):
            block = slice(start, min(start + _BLOCK_ROWS, len(rows)))
            # A slice is a view; chosen rows have to be gathered into a copy.
            vectors = self._vectors[block] if everything else self._vectors[rows[block]]
            table[:, block] = queries @ vectors.T
        return table


def best_rows(rows: Rows, scores: Scores, k: int) -> tuple[Rows, Scores]:
    """Choose the k rows of the highest scores, best first, the lower row first among equals.

    Args:
        rows: int64 (m,).
        scores: float32 (m,), finite, one for each row.
        k: how many; all of them if k >= m.

    Returns:
        int64 and float32 (min(k, m),).
    """
    # A partition pays only where there is much to leave out.
    if len(scores) > k + 256:
        # Everything level with the k-th stays in, so that ties do not depend on the partition.
        threshold = np.partition(scores, len(scores) - k)[len(scores) - k]
        contenders = np.flatnonzero(scores >= threshold)
        rows, scores = rows[contenders], scores[contenders]
    order = np.lexsort((rows, -scores))[:k]
    return rows[order], scores[order]


def exact_scores(vectors: Vectors, rows: Rows, query: Vector) -> Vector:
    """Inner products of a query with chosen rows, without copying the rows, on one thread.

    Twice as fast as `vectors[rows] @ query`, which gathers first.

    Args:
        vectors: float32 (n, dim), C order.
        rows: int64 (m,), each in [0, n); ascending is kindest to the cache.
        query: float32 (dim,).

    Returns:
        float32 (m,).
    """
    scores = np.empty(len(rows), dtype=np.float32)
    rows = np.ascontiguousarray(rows, dtype=np.int64)
    faiss.fvec_inner_products_by_idx(
        faiss.swig_ptr(scores),
        faiss.swig_ptr(np.ascontiguousarray(query)),
        faiss.swig_ptr(vectors),
        faiss.swig_ptr(rows),
        vectors.shape[1],
        1,
        len(rows),
    )
    return scores
