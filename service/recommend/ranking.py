"""From the candidates of a plan to its list."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import chain, islice

import numpy as np

from service.index.shelf import Shelf
from service.recommend.arrange import Arranger, Candidates, has_near_duplicates
from service.recommend.caps import CapCounts
from service.recommend.diversity import WINDOW, varied
from service.recommend.liking import Scored
from service.recommend.plan import Plan
from service.recommend.pool import Pool
from service.types import Vector, Vectors


@dataclass(frozen=True, slots=True, eq=False)
class Ranked:
    """A list, in order, and what was left out of it: see `Counts`."""

    rows: list[int]
    scores: list[float]
    is_promoted: list[bool] = field(default_factory=list)
    """For each place, or empty where none is."""
    too_many: int = 0
    near_duplicate: int = 0
    lacks_promoted: bool = False
    vectors: Vectors | None = None
    """float32 (n, dim), where ranking took them."""


def rank(plan: Plan, pool: Pool, shelf: Shelf) -> Ranked:
    """Choose and order the list of a plan."""
    query, found = plan.query, pool.found
    # Who gives a list wants all of it back.
    keeps_apart = not (query.near_duplicates or query.among)
    before = None
    if plan.shown:
        before = shelf.vectors(np.array(plan.shown[-WINDOW:], np.int64))
    has_places = bool(query.limit_per or query.promoted)
    if not (plan.is_varied or has_places):
        best = found.rows[: plan.asked]
        if not (keeps_apart and has_near_duplicates(shelf.vectors(best), _last(before))):
            return Ranked(best.tolist(), found.scores[: plan.asked].tolist())
    candidates = _candidates(found, shelf)
    order: Iterable[int] = range(len(candidates.rows))
    if plan.is_varied:
        lazy = varied(
            candidates.vectors,
            candidates.scores,
            query.diversity,
            before,
            probe=_length_of_probe(plan),
            wanted=plan.asked,
        )
        first = list(islice(lazy, plan.asked))
        places = np.array(first, np.int64)
        vectors = candidates.vectors.take(places, 0)
        if not has_places and not (keeps_apart and has_near_duplicates(vectors, _last(before))):
            rows, scores = found.rows[places].tolist(), found.scores[places].tolist()
            return Ranked(rows, scores, vectors=vectors)
        order = chain(first, lazy)
    promoted = None if pool.promoted is None else _candidates(pool.promoted, shelf)
    arranger = Arranger(
        CapCounts(query.limit_per, shelf, plan.shown),
        keeps_apart=keeps_apart,
        before=_last(before),
        start=len(plan.shown),
        share=0.0 if query.promoted is None else query.promoted.share,
    )
    made = arranger.fill(plan.asked, candidates, order, promoted)
    sides = [promoted if own and promoted else candidates for own in made.is_promoted]
    return Ranked(
        [int(side.rows[place]) for side, place in zip(sides, made.chosen, strict=True)],
        [float(side.scores[place]) for side, place in zip(sides, made.chosen, strict=True)],
        made.is_promoted,
        made.too_many,
        made.near_duplicate,
        made.lacks_promoted,
    )


def _candidates(found: Scored, shelf: Shelf) -> Candidates:
    vectors = shelf.vectors(found.rows) if found.vectors is None else found.vectors
    return Candidates(found.rows, found.scores, vectors)


def _last(vectors: Vectors | None) -> Vector | None:
    last: Vector | None = None if vectors is None else vectors[-1]
    return last


def _length_of_probe(plan: Plan) -> float:
    """The length of what the scores are inner products with; 0 where that is an item."""
    assert plan.wish is not None, "only what is looked for is varied"
    return float(np.linalg.norm(plan.wish.probes[0])) if plan.wish.is_linear else 0.0
