"""From the candidates of a plan to its list."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from service.index.shelf import Shelf
from service.recommend.arrange import Arranger, Candidates, has_near_duplicates
from service.recommend.caps import CapCounts
from service.recommend.diversity import varied
from service.recommend.plan import Plan
from service.recommend.pool import Pool


@dataclass(frozen=True, slots=True)
class Ranked:
    """A list, in order, and what was left out of it: see `Counts`."""

    rows: list[int]
    scores: list[float]
    is_promoted: list[bool] = field(default_factory=list)
    """For each place, or empty where none is."""
    too_many: int = 0
    near_duplicate: int = 0
    lacks_promoted: bool = False


def rank(plan: Plan, pool: Pool, shelf: Shelf) -> Ranked:
    """Choose and order the list of a plan."""
    query = plan.query
    # Who gives a list wants all of it back.
    keeps_apart = not (query.near_duplicates or query.among)
    before = None
    if keeps_apart and plan.shown:
        before = shelf.vectors(np.array(plan.shown[-1:], np.int64))[0]
    if not (plan.is_varied or query.limit_per or query.promoted):
        rows = pool.rows[: plan.asked]
        if not (keeps_apart and has_near_duplicates(shelf.vectors(rows), before)):
            return Ranked(rows.tolist(), pool.scores[: plan.asked].tolist())
    candidates = Candidates(pool.rows, pool.scores, shelf.vectors(pool.rows))
    promoted = None
    if pool.promoted is not None:
        promoted = Candidates(*pool.promoted, shelf.vectors(pool.promoted[0]))
    arranger = Arranger(
        CapCounts(query.limit_per, shelf, plan.shown),
        keeps_apart=keeps_apart,
        before=before,
        start=len(plan.shown),
        share=0.0 if query.promoted is None else query.promoted.share,
    )
    order: Iterable[int] = range(len(candidates.rows))
    if plan.is_varied:
        order = varied(candidates.vectors, candidates.scores, query.diversity)
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
