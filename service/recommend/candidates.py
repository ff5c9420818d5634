"""The retrieval step: the best rows that the caller may be shown."""

import numpy as np

from service.index.retriever import Retriever
from service.types import Mask, Rows, Scores, Vector

_FEW = 64


def retrieve(
    vector: Vector, retriever: Retriever, count: int, allowed: Mask | None, hidden: Rows
) -> tuple[Rows, Scores]:
    """Find the `count` allowed rows of the largest inner product, best first.

    Args:
        vector: float32 (dim,), the query.
        retriever: what to ask.
        count: how many rows are wanted; fewer come back only when fewer are allowed.
        allowed: bool (n_items,), or None for all.
        hidden: int64, rows never to return: seeds and excluded items.

    Returns:
        int64 (m,) rows and float32 (m,) scores, m ≤ count.
    """
    # A few hidden rows are cheaper to over-fetch and drop than to turn into a mask of all items.
    wanted = min(count + len(hidden), retriever.size)
    rows, scores = retriever.search(vector[np.newaxis, :], wanted, allowed)
    found, similarity = rows[0], scores[0]
    # A damaged vector must cost its own item, never the answer.
    keep = (found >= 0) & np.isfinite(similarity)
    if len(hidden):
        keep &= ~_is_in(found, hidden)
    return found[keep][:count], similarity[keep][:count]


def _is_in(rows: Rows, hidden: Rows) -> Mask:
    # Sorting both, as NumPy does, costs ten times the comparison of a few.
    if len(hidden) <= _FEW:
        found: Mask = (rows[:, np.newaxis] == hidden).any(axis=1)
        return found
    return np.isin(rows, hidden)
