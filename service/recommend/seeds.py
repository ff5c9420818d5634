"""From what the caller points at to one query vector, and which part of it came from where."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from service.index.shelf import Shelf
from service.types import ItemId, Query, Rows, Seed, Vector, Vectors


@dataclass(frozen=True, slots=True)
class KnownSeeds:
    """The seeds of a query that the index knows.

    `liked` and `disliked` are int64 table rows, `liked_weights` and `disliked_weights` float32 of
    the same lengths, `missing` the ids that were not found.
    """

    liked: Rows
    liked_weights: Vector
    disliked: Rows
    disliked_weights: Vector
    missing: tuple[ItemId, ...]


@dataclass(frozen=True, slots=True)
class QueryVector:
    """A query vector and the positive parts that it was made of.

    `parts` is float32 (p, dim), `weights` float32 (p,) summing to 1, `ids` the p seed ids, None
    for the search text.
    """

    vector: Vector
    parts: Vectors
    weights: Vector
    ids: tuple[ItemId | None, ...]


def find_seeds(query: Query, shelf: Shelf) -> KnownSeeds:
    """Look up the rows of `like` and `dislike`; unknown ids are listed, never an error."""
    missing: list[ItemId] = []
    liked, liked_weights = _rows_of(query.like, shelf, missing)
    disliked, disliked_weights = _rows_of(query.dislike, shelf, missing)
    return KnownSeeds(
        liked, liked_weights, disliked, disliked_weights, tuple(dict.fromkeys(missing))
    )


def combine(
    seeds: KnownSeeds, shelf: Shelf, text: Vector | None, ids: Sequence[ItemId]
) -> QueryVector | None:
    """Average the positives and push away from the negatives.

    A text weighs as much as all liked items together: it is what the user wants now, whatever
    the size of the board it was typed on. With negatives the query is twice the mean of the
    positives minus the mean of the negatives.

    Args:
        seeds: rows and weights.
        shelf: has the vectors of the rows.
        text: float32 (dim,), the encoded search text, if any.
        ids: the ids of `seeds.liked`, in its order.

    Returns:
        None when there is no positive at all: nothing to look for.

    Source: Qdrant's `average_vector` strategy.
    """
    parts = list(shelf.vectors(seeds.liked))
    weights = [float(weight) for weight in seeds.liked_weights]
    names: list[ItemId | None] = list(ids)
    if text is not None:
        parts.append(text)
        weights.append(sum(weights) or 1.0)
        names.append(None)
    if not parts:
        return None
    stacked = np.stack(parts).astype(np.float32)
    shares = np.asarray(weights, dtype=np.float32)
    shares /= shares.sum()
    vector = shares @ stacked
    if len(seeds.disliked):
        away = np.average(shelf.vectors(seeds.disliked), axis=0, weights=seeds.disliked_weights)
        vector = 2.0 * vector - away.astype(np.float32)
    return QueryVector(vector.astype(np.float32), stacked, shares, tuple(names))


def _rows_of(seeds: Sequence[Seed], shelf: Shelf, missing: list[ItemId]) -> tuple[Rows, Vector]:
    rows: list[int] = []
    weights: list[float] = []
    for seed, row in zip(seeds, shelf.rows([seed.id for seed in seeds]), strict=True):
        if row is None:
            missing.append(seed.id)
        else:
            rows.append(row)
            weights.append(seed.weight)
    return np.asarray(rows, dtype=np.int64), np.asarray(weights, dtype=np.float32)
