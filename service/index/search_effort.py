"""How hard an index must search to find what was asked for."""

from collections.abc import Callable
from functools import partial
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from service.index.faiss_file import StoredIndex
from service.index.faiss_index import FaissIndex
from service.index.manifest import EfSearch
from service.index.recall_queries import RecallQueries
from service.index.search_cost import search_cost_us
from service.types import Vectors

# Lists to look into, or candidates to keep, at most; for 10 and for 100 neighbours.
_EFFORT_MAX = {10: 512, 100: 1024}
_SPARES = (6, 14, 30, 62, 126, 254)
# Recall has to hold when it is measured on as many other queries, which chance moves as well: so
# many standard errors are kept between what was measured and what was asked for: 99 % certainty.
_STANDARD_ERRORS = 2.33 * sqrt(2)
# Enough to compare numbers of spare rows, and what they cost.
_FEW_QUERIES = 512
# Enough for lists of 100.
_QUERIES = 1024
_COMPARED_MIN = 100
# In thousandths of a distance; the longest is as good as any distance.
_REACH_MIN, _REACH_MAX = 10, 4_000
_ROWS_AT_ONCE = 8_192


def choose_effort(
    stored: StoredIndex,
    queries: RecallQueries,
    aims: tuple[float, float],
    *,
    rescored: bool,
) -> EfSearch:
    """Find the cheapest effort, and number of rows to score again, that reaches both aims.

    Reached is an aim that is met with 99 % certainty on as many other queries of the same kind.
    Where no effort meets it, it is the largest: the caller measures and decides.

    Args:
        stored: HNSW or IVF.
        queries: with the vectors that are behind the index.
        aims: recall at 10 and at 100.
        rescored: whether rows are scored again with the full vectors.
    """
    some = queries.thinned(_QUERIES)
    of_10, of_100 = (_Efforts(stored, queries, 10, rescored), _Efforts(stored, some, 100, rescored))
    effort_10, spare_10 = of_10.cheapest(aims[0], 1)
    effort_100, spare_100 = of_100.cheapest(aims[1], effort_10)
    effort = EfSearch(
        at_10=effort_10,
        at_100=effort_100,
        spare_at_10=spare_10,
        spare_at_100=max(spare_10, spare_100),
        rescored=rescored,
    )
    if FaissIndex(stored, queries.vectors, effort).is_compiled:
        effort = _with_reach(effort, of_10, of_100, aims)
    if stored.lists is None:
        return effort
    return effort.model_copy(
        update={
            "compared_at_10": _compared(stored, queries, 10, aims[0], effort),
            "compared_at_100": _compared(stored, some, 100, aims[1], effort),
        }
    )


def smallest(reaches: Callable[[int], bool], low: int, high: int) -> int | None:
    """The smallest number of [low, high] that reaches what is wanted; None if none does.

    More effort finds no less, give or take a neighbour, so the first that does is doubled up to,
    as little effort is soon measured, and what is left halved; from 50 on to within 2 %.
    """
    top = low
    while not reaches(top):
        if top == high:
            return None
        low, top = top + 1, min(2 * top, high)
    while top - low > low // 50:
        middle = int(sqrt(low * top))
        if reaches(middle):
            top = middle
        else:
            low = middle + 1
    return top


def surely(shares: NDArray[np.float64]) -> float:
    """What the mean of as many other queries exceeds with 99 % certainty, by their spread."""
    return float(shares.mean() - _STANDARD_ERRORS * shares.std() / sqrt(len(shares)))


class _Efforts:
    """What an index finds for k at every effort that is asked about, searched once for each.

    A search keeps its candidates in the order of their codes. How many true neighbours lie among
    the first k + spare of them is then known for every number of spare rows.
    """

    def __init__(self, stored: StoredIndex, queries: RecallQueries, k: int, rescored: bool) -> None:
        self._stored = stored
        self._queries = queries
        self._k = k
        self._rescored = rescored
        self._is_graph = hasattr(stored.index, "hnsw")
        self._hits: dict[tuple[int, int], NDArray[np.bool_]] = {}

    def cheapest(self, aim: float, least: int) -> tuple[int, int]:
        """The cheapest effort from `least` on with its spare rows; else what finds most.

        A few of the queries choose the spare rows, and all of them the effort.
        """
        few = self._queries.thinned(_FEW_QUERIES)
        best: tuple[float, int, int] | None = None
        most = (-1.0, 0)
        high = self._most(least)
        for spare in _SPARES if self._rescored else (0,):
            low = self._low(least, spare)
            effort = smallest(partial(self._reaches, few, aim, spare), low, high)
            if effort is None:
                most = max(most, (self._surely(few, high, spare), spare))
                continue
            cost = search_cost_us(
                self._stored, few, _effort(effort, spare, rescored=self._rescored), self._k
            )
            if best is not None and cost >= best[0]:
                break
            best = (cost, effort, spare)
            # More spare rows never ask for more effort.
            high = effort
        if best is None:
            return self._most(least), most[1]
        _, guess, spare = best
        # Few queries are less certain, and so ask for more than is needed.
        low, high = max(guess // 2, self._low(least, spare)), self._most(least)
        return smallest(partial(self._reaches, self._queries, aim, spare), low, high) or high, spare

    def reach(self, effort: EfSearch, aim: float) -> float | None:
        """The smallest reach that meets the aim; None where not even the longest does."""

        def reaches(thousandths: int) -> bool:
            reach = thousandths / 1000
            trial = effort.model_copy(update={"reach_at_10": reach, "reach_at_100": reach})
            hits = self._hits_of(self._queries, trial, self._k + effort.spare(self._k))
            return surely(self._queries.shares(self._k, hits)) >= aim

        found = smallest(reaches, _REACH_MIN, _REACH_MAX)
        return None if found is None else found / 1000

    @property
    def vectors(self) -> Vectors:
        """float32 (n, dim), what is searched."""
        return self._queries.vectors

    def _low(self, least: int, spare: int) -> int:
        # A walk cannot have more candidates scored again than it keeps.
        return min(max(least, self._k + spare if self._is_graph else 1), self._most(least))

    def _most(self, least: int) -> int:
        largest = len(self.vectors) if self._is_graph else int(self._stored.index.nlist)
        return max(least, min(_EFFORT_MAX[self._k], largest))

    def _reaches(self, queries: RecallQueries, aim: float, spare: int, effort: int) -> bool:
        return self._surely(queries, effort, spare) >= aim

    def _surely(self, queries: RecallQueries, effort: int, spare: int) -> float:
        known = (len(queries.rows), effort)
        hits = self._hits.get(known)
        if hits is None:
            most = self._k + (_SPARES[-1] if self._rescored else 0)
            trial = _effort(effort, 0, rescored=self._rescored)
            hits = self._hits[known] = self._hits_of(queries, trial, most)
        return surely(queries.shares(self._k, hits[:, : self._k + spare]))

    def _hits_of(self, queries: RecallQueries, effort: EfSearch, count: int) -> NDArray[np.bool_]:
        """Which candidates are true neighbours, in the order of their codes: bool (q, ≤ count)."""
        by_codes = effort.model_copy(update={"rescored": False})
        index = FaissIndex(self._stored, self.vectors, by_codes)
        # One more, because a query may be made of an item that does not count.
        depth = min(count + 1, index.size)
        if self._is_graph:
            depth = min(depth, effort.kept(self._k))
        found = index.candidates(queries.queries, self._k, depth)
        return queries.hits(self._k, found)[:, :count]


def _with_reach(
    effort: EfSearch, of_10: "_Efforts", of_100: "_Efforts", aims: tuple[float, float]
) -> EfSearch:
    """The same with the smallest reach that meets the aims, where one does.

    With a reach most walks end early, and the few that are hard go on for longer.
    """
    longest = max(
        float(np.linalg.norm(of_10.vectors[start : start + _ROWS_AT_ONCE], axis=1).max())
        for start in range(0, len(of_10.vectors), _ROWS_AT_ONCE)
    )
    effort = effort.model_copy(update={"longest": longest})
    reach_10 = of_10.reach(effort, aims[0])
    if reach_10 is None:
        return effort
    reach_100 = of_100.reach(effort, aims[1]) or _REACH_MAX / 1000
    return effort.model_copy(update={"reach_at_10": reach_10, "reach_at_100": reach_100})


def _compared(
    stored: StoredIndex, queries: RecallQueries, k: int, aim: float, effort: EfSearch
) -> int:
    """How many rows to compare, list by list, to reach the aim under any filter.

    Measured under one that lets everything through. A filter that leaves a tenth makes neighbours
    ten times as rare, and ten times as many lists are needed: the number of rows is the same.
    """
    everything = np.ones(len(queries.vectors), np.bool_)
    everything.flags.writeable = False

    def reaches(compared: int) -> bool:
        trial = effort.model_copy(update={"compared_at_10": compared, "compared_at_100": compared})
        index = FaissIndex(stored, queries.vectors, trial)
        return surely(queries.shares_at(k, index, everything)) >= aim

    most = max(_COMPARED_MIN, len(queries.vectors))
    return smallest(reaches, _COMPARED_MIN, most) or most


def _effort(effort: int, spare: int, *, rescored: bool) -> EfSearch:
    return EfSearch(
        at_10=effort, at_100=effort, spare_at_10=spare, spare_at_100=spare, rescored=rescored
    )
