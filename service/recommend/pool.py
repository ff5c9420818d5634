"""The candidates of a plan, scored: searched for, or newest, or given by the caller."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from service.index.shelf import Shelf
from service.recommend.candidates import Found, Probe, permitted, search
from service.recommend.fallback import newest
from service.recommend.liking import Scored, liked
from service.recommend.plan import Plan
from service.types import Mask, Rows, Scores


@dataclass(frozen=True, slots=True, eq=False)
class Pool:
    """What a list is chosen from.

    Args:
        found: none twice, none hidden, boosts added to the scores.
        promoted: what promoted places are filled from; None without promotion.
        is_exhausted: whether no more would be found.
        too_low: candidates below `min_score`.
    """

    found: Scored
    promoted: Scored | None
    is_exhausted: bool
    too_low: int


def gather(plans: Sequence[Plan], shelf: Shelf) -> list[Pool]:
    """Look for the candidates of all plans, with one search for those that can share it."""
    probes = [probe for plan in plans if _searches(plan) for probe in _probes(plan)]
    found = iter(search(probes, shelf)) if probes else iter(())
    return [_pool(plan, shelf, _lists(plan, shelf, found)) for plan in plans]


def _searches(plan: Plan) -> bool:
    return plan.wish is not None and plan.among is None


def _masks(plan: Plan) -> list[Mask | None]:
    # Each boost has a search of its own: what it lifts may be far down in the other one.
    masks: list[Mask | None] = [plan.allowed, *plan.boosted]
    return masks if plan.promoted is None else [*masks, plan.promoted]


def _probes(plan: Plan) -> list[Probe]:
    assert plan.wish is not None
    wish = plan.wish
    return [Probe(wish.probes, plan.count, mask, wish.near) for mask in _masks(plan)]


def _lists(plan: Plan, shelf: Shelf, searched: Iterator[Found]) -> list[Found]:
    """Rows and scores under each mask of a plan."""
    if _searches(plan):
        return [next(searched) for _ in _masks(plan)]
    if plan.among is None:
        lists = [newest(shelf.newest_first, plan.count, mask) for mask in _masks(plan)]
    else:
        lists = [
            plan.among if mask is None else plan.among[mask[plan.among]] for mask in _masks(plan)
        ]
    if plan.wish is None:
        # There is nothing to be similar to, so there is no score to invent.
        return [(rows, np.zeros(len(rows), np.float32)) for rows in lists]
    return [(rows, plan.wish.scores(shelf.vectors(rows))) for rows in lists]


def _pool(plan: Plan, shelf: Shelf, lists: list[Found]) -> Pool:
    query = plan.query
    if query.min_score is not None and plan.wish is None:
        # Nothing here has a score, so nothing has one that is high enough.
        return Pool(Scored(_NO_ROWS, _NO_SCORES), None, True, 0)
    is_exhausted = plan.among is not None or _is_short(plan, lists[0], shelf)
    promoted = None
    if plan.promoted is not None:
        promoted, lists = _scored(plan, shelf, lists[-1:]).down_to(query.min_score), lists[:-1]
    scored = _scored(plan, shelf, lists)
    found = scored.down_to(query.min_score)
    too_low = len(scored.rows) - len(found.rows)
    # Below a score that is too low there are only lower ones.
    is_exhausted |= bool(too_low) and not query.boost and (plan.wish is None or plan.wish.is_linear)
    return Pool(found, promoted, is_exhausted, too_low)


def _is_short(plan: Plan, found: Found, shelf: Shelf) -> bool:
    size = len(shelf)
    wanted = plan.count
    rows = found[0]
    if wanted >= size or len(rows) < wanted:
        return True
    # What pads a list is at its end.
    return any(row < 0 for row in rows[wanted - 1 :: wanted].tolist())


def _scored(plan: Plan, shelf: Shelf, lists: list[Found]) -> Scored:
    """Put lists together, best first: every row once, with its final score."""
    found = lists[0]
    if len(lists) > 1:
        every, likeness = zip(*lists, strict=True)
        found = np.concatenate(every), np.concatenate(likeness)
    wish, boost = plan.wish, plan.query.boost
    if wish is not None and not wish.is_linear:
        scored = liked(found, plan.hidden, wish, shelf)
        if not boost:
            return scored
    else:
        rows, scores, unscored = permitted(*found, plan.hidden)
        if plan.among is None and len(lists) == 1 and not boost:
            return Scored(rows, scores, unscored)
        rows, first = np.unique(rows, return_index=True)
        scored = Scored(rows, scores[first], unscored)
    scores = scored.scores + boosts_of(plan, scored.rows)
    order = _order(plan, shelf, scored.rows, scores)
    # Gathered again where they are needed: a boost is rare.
    return Scored(scored.rows[order], scores[order], scored.unscored)


def boosts_of(plan: Plan, rows: Rows) -> Scores:
    """What the boosts add to the score of each row: float32 (len(rows),)."""
    added = np.zeros(len(rows), np.float32)
    for boost, mask in zip(plan.query.boost, plan.boosted, strict=True):
        # The mask has what the boost moves ahead: those that pass it, or where it sinks, the rest.
        has_it = mask[rows] if boost.weight > 0 else ~mask[rows]
        added[has_it] += boost.weight
    return added


def _order(plan: Plan, shelf: Shelf, rows: Rows, scores: Scores) -> Rows:
    if plan.wish is not None:
        return np.lexsort((rows, -scores))
    if plan.among is not None:
        # Nothing to order by but boosts: otherwise as the caller gave them.
        given = {int(row): place for place, row in enumerate(plan.among)}
        places = np.array([given[int(row)] for row in rows], np.int64)
    else:
        places = np.empty(len(shelf), np.int64)
        places[shelf.newest_first] = np.arange(len(shelf.newest_first))
        places = places[rows]
    return np.lexsort((places, -scores))


_NO_ROWS: Rows = np.empty(0, np.int64)
_NO_SCORES: Scores = np.empty(0, np.float32)
