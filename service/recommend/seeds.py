"""The seeds that a caller points at, as rows of the table."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from service.index.shelf import Shelf
from service.types import ItemId, Query, Rows, Seed, Vector


@dataclass(frozen=True, slots=True)
class KnownSeeds:
    """The seeds of a query that the index knows.

    `liked` and `disliked` are int64 table rows, `liked_weights` and `disliked_weights` float32 of
    the same lengths, `liked_ids` the ids of `liked`, `missing` the ids that were not found.
    """

    liked: Rows
    liked_weights: Vector
    liked_ids: tuple[ItemId, ...]
    disliked: Rows
    disliked_weights: Vector
    missing: tuple[ItemId, ...]


def find_seeds(query: Query, shelf: Shelf) -> KnownSeeds:
    """Look up the rows of `like` and `dislike`; unknown ids are listed, never an error."""
    missing: list[ItemId] = []
    liked, liked_weights, liked_ids = _rows_of(query.like, shelf, missing)
    disliked, disliked_weights, _ = _rows_of(query.dislike, shelf, missing)
    return KnownSeeds(
        liked,
        liked_weights,
        liked_ids,
        disliked,
        disliked_weights,
        tuple(dict.fromkeys(missing)),
    )


def _rows_of(
    seeds: Sequence[Seed], shelf: Shelf, missing: list[ItemId]
) -> tuple[Rows, Vector, tuple[ItemId, ...]]:
    if not seeds:
        return _NO_ROWS, _NO_WEIGHTS, ()
    rows: list[int] = []
    weights: list[float] = []
    ids: list[ItemId] = []
    for seed, row in zip(seeds, shelf.rows([seed.id for seed in seeds]), strict=True):
        if row is None:
            missing.append(seed.id)
        else:
            rows.append(row)
            weights.append(seed.weight)
            ids.append(seed.id)
    return np.asarray(rows, dtype=np.int64), np.asarray(weights, dtype=np.float32), tuple(ids)


_NO_ROWS: Rows = np.empty(0, np.int64)
_NO_WEIGHTS: Vector = np.empty(0, np.float32)
