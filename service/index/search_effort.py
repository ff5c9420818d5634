"""How hard an index must search to find what was asked for, and what that costs."""

from bisect import bisect_left
from collections.abc import Sequence

import faiss
import numpy as np

from service.index.code_search import CodeSearch
from service.index.faiss_file import StoredIndex
from service.index.faiss_index import FaissIndex
from service.index.manifest import EfSearch
from service.index.recall_queries import RecallQueries
from service.types import Vectors

_GRAPH_10 = (
    10,
    12,
    14,
    16,
    18,
    20,
    22,
    24,
    28,
    32,
    36,
    40,
    48,
    56,
    64,
    72,
    80,
    96,
    112,
    128,
    160,
    192,
    256,
    384,
    512,
)
_GRAPH_100 = (100, 128, 160, 192, 256, 384, 512, 768, 1024)
_LISTS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024)
_SPARES = (6, 14, 30, 62, 126, 254)
_COMPARED: tuple[int, ...] = (
    *range(500, 4_000, 500),
    *range(4_000, 16_000, 2_000),
    *(16_000, 24_000, 32_000, 48_000, 64_000, 96_000, 128_000),
)

# Nanoseconds on the machine of docs/benchmarks/index.md. A graph jumps about in memory, a list is
# read from end to end, and a row is scored again from memory that nobody has touched lately.
_CALL_US = 15.0
_HOP_NS, _HOP_BYTE_NS = 45.0, 0.14
_SCAN_NS, _SCAN_BYTE_NS = 4.0, 0.06
_FAST_SCAN_BYTE_NS = 0.03
_CENTRE_NUMBER_NS = 0.05
_RESCORE_NS = 250.0
_FLAT_NUMBER_NS = 0.12


def choose_effort(
    stored: StoredIndex,
    queries: RecallQueries,
    aims: tuple[float, float],
    *,
    rescored: bool,
) -> EfSearch:
    """Find the cheapest effort, and number of rows to score again, that reaches both aims.

    Where no effort does, it is the largest: the caller measures and decides.

    Args:
        stored: HNSW or IVF.
        queries: with the vectors that are behind the index.
        aims: recall at 10 and at 100.
        rescored: whether rows are scored again with the full vectors.
    """
    graph = hasattr(stored.index, "hnsw")
    effort_10, spare_10 = _cheapest(
        stored, queries, 10, aims[0], _GRAPH_10 if graph else _LISTS, rescored
    )
    ladder = [each for each in (_GRAPH_100 if graph else _LISTS) if each >= effort_10]
    effort_100, spare_100 = _cheapest(
        stored, queries, 100, aims[1], ladder or [effort_10], rescored
    )
    effort = EfSearch(
        at_10=effort_10,
        at_100=effort_100,
        spare_at_10=spare_10,
        spare_at_100=max(spare_10, spare_100),
        rescored=rescored,
    )
    if stored.lists is None:
        return effort
    return effort.model_copy(
        update={
            "compared_at_10": _compared(stored, queries, 10, aims[0], effort),
            "compared_at_100": _compared(stored, queries, 100, aims[1], effort),
        }
    )


def search_cost_us(
    stored: StoredIndex,
    vectors: Vectors,
    effort: EfSearch | None,
    queries: RecallQueries,
    k: int,
) -> float:
    """What a search for k costs by the distances it computes: the same on every run."""
    if effort is None:
        return _CALL_US + _FLAT_NUMBER_NS * vectors.size / 1e3
    distances = _distances(stored, vectors, effort, queries, k)
    code = stored.index.code_size if hasattr(stored.index, "code_size") else 0
    if hasattr(stored.index, "hnsw"):
        code = faiss.downcast_index(stored.index.storage).code_size
        walk = distances * (_HOP_NS + _HOP_BYTE_NS * code)
    else:
        centres = stored.index.nlist * stored.index.d * _CENTRE_NUMBER_NS
        fast = "FastScan" in type(stored.index).__name__
        per_row = code * _FAST_SCAN_BYTE_NS if fast else _SCAN_NS + code * _SCAN_BYTE_NS
        walk = centres + distances * per_row
    again = (k + effort.spare(k)) * _RESCORE_NS if effort.rescored else 0.0
    turn = 0.0 if stored.axes is None else stored.axes.size * _CENTRE_NUMBER_NS
    return float(_CALL_US + (walk + again + turn) / 1e3)


def _cheapest(
    stored: StoredIndex,
    queries: RecallQueries,
    k: int,
    aim: float,
    ladder: Sequence[int],
    rescored: bool,
) -> tuple[int, int]:
    """The cheapest effort and number of spare rows to reach the aim, or else the most thorough."""
    best: tuple[float, int, int] | None = None
    highest = (-1.0, ladder[-1], 0)
    for spare in _SPARES if rescored else (0,):

        def recall(effort: int, spare: int = spare) -> float:
            trial = _effort(k, effort, spare, rescored)
            return queries.recall_at(k, FaissIndex(stored, queries.vectors, trial))

        reached = recall(ladder[-1])
        highest = max(highest, (reached, ladder[-1], spare))
        if reached < aim:
            continue
        # More effort finds no less, give or take a neighbour: halve the ladder instead of climbing.
        effort = ladder[bisect_left(ladder, aim, hi=len(ladder) - 1, key=recall)]
        trial = _effort(k, effort, spare, rescored)
        cost = search_cost_us(stored, queries.vectors, trial, queries, k)
        if best is not None and cost >= best[0]:
            break
        best = (cost, effort, spare)
    return (best or highest)[1:]


def _compared(
    stored: StoredIndex, queries: RecallQueries, k: int, aim: float, effort: EfSearch
) -> int:
    """How many rows to compare, list by list, to reach the aim under any filter.

    Measured under one that lets everything through. A filter that leaves a tenth makes neighbours
    ten times as rare, and ten times as many lists are needed: the number of rows is the same.
    """
    everything = np.ones(len(queries.vectors), np.bool_)
    everything.flags.writeable = False

    def recall_of(compared: int) -> float:
        trial = effort.model_copy(update={"compared_at_10": compared, "compared_at_100": compared})
        return queries.recall_at(k, FaissIndex(stored, queries.vectors, trial), everything)

    ladder: list[int] = [each for each in _COMPARED if each < len(queries.vectors)]
    if not ladder:
        return _COMPARED[0]
    return ladder[bisect_left(ladder, aim, hi=len(ladder) - 1, key=recall_of)]


def _effort(k: int, effort: int, spare: int, rescored: bool) -> EfSearch:
    return EfSearch(
        at_10=effort, at_100=effort, spare_at_10=spare, spare_at_100=spare, rescored=rescored
    )


def _distances(
    stored: StoredIndex, vectors: Vectors, effort: EfSearch, queries: RecallQueries, k: int
) -> float:
    """Distances that FAISS computes for one query, on average."""
    if not hasattr(stored.index, "hnsw"):
        # What it would read if all lists were of one length.
        return float(len(vectors) * min(effort.at(k), stored.index.nlist) / stored.index.nlist)
    index = FaissIndex(stored, vectors, effort)
    codes = CodeSearch.over(stored, vectors, rescored=effort.rescored)
    if codes is not None:
        return codes.compared(queries.queries, k, index.effort(k, len(vectors)))
    # FAISS counts for the whole process; a build measures alone.
    counted = faiss.cvar.hnsw_stats
    counted.reset()
    index.search(queries.queries, k)
    return float(counted.ndis / len(queries.queries))
