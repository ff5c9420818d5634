"""The whole story of a recommendation in one screen: seeds → candidates → rank."""

import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from service.errors import InvalidInput
from service.index.shelf import Shelf
from service.recommend.explain import explained
from service.recommend.plan import BoostMasks, Plan, plan_of
from service.recommend.pool import Pool, gather
from service.recommend.ranking import Ranked, rank
from service.types import Counts, Query, Recommendations, Source, Vector

# Where caps and near-duplicates leave a list short, more candidates are looked at, and once more:
# enough for any list that is not about one thing alone.
_WIDER_TIMES = 2


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
        InvalidFilter: a filter names an unknown key, or a range on a key without numbers.
        InvalidQuery: a cap on an attribute that no item has.
    """
    found = recommend_all([query], shelf, [text_vector], clock)[0]
    if isinstance(found, InvalidInput):
        raise found
    return found


def recommend_all(
    queries: Sequence[Query],
    shelf: Shelf,
    text_vectors: Sequence[Vector | None],
    clock: Callable[[], float] = time.perf_counter,
) -> list[Recommendations | InvalidInput]:
    """Answer many queries with one retrieval for all; each has its own answer or error.

    Args:
        queries, text_vectors: as for `recommend`, of one length.
    """
    started = searching = clock()
    plans = _plans(queries, shelf, text_vectors)
    found: dict[int, Recommendations] = {}
    # One for all, as they are answered together; filled in when they are.
    timings = {"search": 0.0, "rank": 0.0}
    rounds = 0
    open_ = [(place, plan) for place, plan in enumerate(plans) if isinstance(plan, Plan)]
    while open_:
        pools = gather([plan for _, plan in open_], shelf)
        timings["search"] += (clock() - searching) * 1e3
        wider = []
        for (place, plan), pool in zip(open_, pools, strict=True):
            ranked = rank(plan, pool, shelf)
            if rounds < _WIDER_TIMES and _may_find_more(plan, pool, ranked):
                plan.widen()
                wider.append((place, plan))
            else:
                found[place] = _answer(plan, pool, ranked, shelf, timings)
        open_, rounds, searching = wider, rounds + 1, clock()
    timings["rank"] = (clock() - started) * 1e3 - timings["search"]
    return [found[place] if isinstance(plan, Plan) else plan for place, plan in enumerate(plans)]


def _plans(
    queries: Sequence[Query], shelf: Shelf, text_vectors: Sequence[Vector | None]
) -> list[Plan | InvalidInput]:
    masks = BoostMasks(shelf)
    plans: list[Plan | InvalidInput] = []
    for query, vector in zip(queries, text_vectors, strict=True):
        try:
            plans.append(plan_of(query, shelf, vector, masks))
        except InvalidInput as error:
            plans.append(error)
    return plans


def _may_find_more(plan: Plan, pool: Pool, ranked: Ranked) -> bool:
    if pool.is_exhausted:
        return False
    return len(ranked.rows) < plan.asked or _holds_turned_away(plan, ranked)


def _holds_turned_away(plan: Plan, ranked: Ranked) -> bool:
    wish = plan.wish
    if wish is None or not ranked.scores or not len(wish.against):
        return False
    return wish.is_turned_away(min(ranked.scores))


def _answer(
    plan: Plan, pool: Pool, ranked: Ranked, shelf: Shelf, timings: Mapping[str, float]
) -> Recommendations:
    count = len(ranked.rows)
    # A list that the caller gave is found, whatever its order.
    is_filled = plan.wish is None and plan.among is None
    return Recommendations(
        rows=ranked.rows,
        scores=ranked.scores,
        is_promoted=ranked.is_promoted,
        whys=explained(ranked, plan, shelf) if plan.query.explain else [],
        source=_source(plan),
        counts=Counts(
            asked=plan.asked,
            found=0 if is_filled else count,
            back_filled=count if is_filled else 0,
            back_filled_from="newest" if is_filled and count else None,
            filter=_left_out(plan, shelf),
            min_score=pool.too_low,
            limit_per=ranked.too_many,
            near_duplicate=ranked.near_duplicate,
            unscored=pool.found.unscored,
        ),
        missing=plan.missing,
        degraded=_degraded(plan, ranked),
        timings_ms=timings,
    )


def _source(plan: Plan) -> Source:
    if plan.wish is None:
        return "fallback"
    return "search" if plan.query.text is not None and not len(plan.seeds.liked) else "similar"


def _left_out(plan: Plan, shelf: Shelf) -> int:
    if plan.passing is None:
        return 0
    if plan.among is not None:
        return len(plan.among) - int(np.count_nonzero(plan.passing.mask[plan.among]))
    return shelf.shown - plan.passing.count


def _degraded(plan: Plan, ranked: Ranked) -> tuple[str, ...]:
    reasons = []
    query = plan.query
    can_use_dislikes = query.strategy in ("best_score", "sum_scores")
    if plan.wish is None and (query.like or (query.dislike and can_use_dislikes)):
        reasons.append("no_known_seed")
    if ranked.lacks_promoted:
        reasons.append("too_few_promoted")
    if len(ranked.rows) < plan.asked:
        nothing = plan.passing is not None and not plan.passing.count
        reasons.append("filter_matches_nothing" if nothing else "fewer_than_k")
    return tuple(reasons)
