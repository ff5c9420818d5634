"""Searches that leave out rows which may not be shown: in a version, and among fresh items."""

import numpy as np

from service.index.exact_index import best_rows, exact_scores
from service.index.retriever import Neighbours, Retriever, padded, without
from service.types import Mask, Rows, Vectors

# Searching for a few more and dropping blocked rows is cheaper than a mask over all items.
_SPARE_MIN = 16
_SPARE_FACTOR = 4


def search_version(
    retriever: Retriever,
    blocked: Rows,
    queries: Vectors,
    k: int,
    allowed: Mask | None,
    near: Rows | None,
) -> Neighbours:
    """Find the k best rows of a version that are not blocked; see `Retriever.search`.

    It is asked for a few more than k, in case they are blocked, and asked again with a mask in the
    rare case that this was not enough.

    Args:
        retriever: of the version.
        blocked: int64, its rows that may not be shown, ascending.
    """
    count = retriever.size
    if allowed is None:
        spare = 0
        if len(blocked):
            share = len(blocked) / count
            spare = min(len(blocked), max(_SPARE_MIN, int(_SPARE_FACTOR * share * k)))
        rows, scores = retriever.search(queries, k + spare, None, near)
        rows, scores = without(rows, scores, blocked, k)
        if ((rows >= 0).sum(axis=1) >= min(k, count - len(blocked))).all():
            return rows, scores
    if allowed is not None and not allowed[blocked].any():
        # As `Shelf.allowed` gives it: what follows from the very same mask is remembered.
        return retriever.search(queries, k, allowed)
    mask = np.ones(count, np.bool_) if allowed is None else allowed.copy()
    mask[blocked] = False
    return retriever.search(queries, k, mask)


def search_fresh(
    vectors: Vectors, blocked: Rows, queries: Vectors, k: int, allowed: Mask | None
) -> Neighbours:
    """Find the k best fresh items that are not blocked, comparing them all.

    Args:
        vectors: float32 (n, dim), C order.
        blocked: int64, places in `vectors` that may not be shown.
        allowed: bool (n,), or None for all.

    Returns:
        Places in `vectors` and scores, padded as a `Retriever` pads.
    """
    mask = np.ones(len(vectors), np.bool_) if allowed is None else allowed.copy()
    mask[blocked] = False
    slots = np.flatnonzero(mask)
    found, scores = padded(len(queries), k)
    for line, query in enumerate(queries):
        best, best_scores = best_rows(slots, exact_scores(vectors, slots, query), k)
        found[line, : len(best)] = best
        scores[line, : len(best)] = best_scores
    return found, scores
