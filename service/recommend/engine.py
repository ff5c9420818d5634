"""The whole story of a recommendation in one screen: seeds → candidates → rank."""

import time
from collections.abc import Callable

import numpy as np

from service.index.shelf import Shelf
from service.recommend import candidates, diversity, explain, fallback, seeds
from service.types import Mask, Query, Recommendation, Recommendations, Rows, Scores, Vector

# A diverse list is chosen among this many times k candidates (Qdrant's default of 1 leaves
# nothing to choose from), and never among fewer than this many.
_OVERFETCH = 5
_POOL_MIN = 50


def recommend(
    query: Query,
    shelf: Shelf,
    text_vector: Vector | None,
    clock: Callable[[], float] = time.perf_counter,
) -> Recommendations:
    """Answer a query from one index version and what changed since.

    Args:
        query: seeds and limits, already validated.
        shelf: what to answer from.
        text_vector: float32 (dim,), `query.text` encoded by the version's own model.
        clock: seconds, only differences matter.

    Raises:
        InvalidFilter: the filter names an unknown key, or a range on a key without numbers.
    """
    started = clock()
    known = seeds.find_seeds(query, shelf)
    allowed = shelf.allowed(query.filter)
    hidden = _hidden_rows(query, known, shelf)
    lost = set(known.missing)
    liked_ids = [seed.id for seed in query.like if seed.id not in lost]
    wish = seeds.combine(known, shelf, text_vector, liked_ids)
    if wish is None:
        return _fall_back(query, shelf, known, allowed, hidden)

    pool = max(_OVERFETCH * query.k, _POOL_MIN) if query.diversity else query.k
    rows, scores = candidates.retrieve(wish.vector, shelf, pool, allowed, hidden)
    searched = clock()
    if query.diversity and len(rows):
        picked = diversity.mmr(shelf.vectors(rows), scores, query.k, 1.0 - query.diversity)
        rows, scores = rows[picked], scores[picked]
    if query.explain:
        items = _explained(rows, scores, wish, shelf)
    else:
        items = tuple(map(Recommendation, rows.tolist(), scores.tolist()))
    return Recommendations(
        items=items,
        source="search" if not len(known.liked) else "similar",
        missing=known.missing,
        degraded=_shortfall(query, len(items), allowed),
        timings_ms={"search": (searched - started) * 1e3, "rank": (clock() - searched) * 1e3},
    )


def _hidden_rows(query: Query, known: seeds.KnownSeeds, shelf: Shelf) -> Rows:
    excluded = [row for row in shelf.rows(query.exclude) if row is not None]
    return np.unique(
        np.concatenate([known.liked, known.disliked, np.asarray(excluded, dtype=np.int64)])
    )


def _explained(
    rows: Rows, scores: Scores, wish: seeds.QueryVector, shelf: Shelf
) -> tuple[Recommendation, ...]:
    shared = explain.SharedAttributes(shelf)
    explained = []
    for row, score, vector in zip(rows.tolist(), scores.tolist(), shelf.vectors(rows), strict=True):
        because = explain.shares(wish, vector)
        strongest = because[0].id if because else None
        explained.append(Recommendation(row, score, because, shared.between(row, strongest)))
    return tuple(explained)


def _fall_back(
    query: Query,
    shelf: Shelf,
    known: seeds.KnownSeeds,
    allowed: Mask | None,
    hidden: Rows,
) -> Recommendations:
    rows = fallback.newest(shelf.newest_first, query.k, allowed, set(hidden.tolist()))
    lost = ("no_known_seed",) if query.like and not len(known.liked) else ()
    return Recommendations(
        # There is nothing to be similar to, so there is no score to invent.
        items=tuple(Recommendation(row, 0.0) for row in rows),
        source="fallback",
        missing=known.missing,
        degraded=lost + _shortfall(query, len(rows), allowed),
    )


def _shortfall(query: Query, found: int, allowed: Mask | None) -> tuple[str, ...]:
    if found >= query.k:
        return ()
    if allowed is not None and not allowed.any():
        return ("filter_matches_nothing",)
    return ("fewer_than_k",)
