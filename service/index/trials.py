"""Candidates, and how one of them does on items of this catalogue."""

from collections.abc import Callable
from dataclasses import dataclass

import faiss
import numpy as np

from service.errors import InvalidSettings
from service.index.built_index import USUAL, measured
from service.index.faiss_file import StoredIndex
from service.index.faiss_index import FaissIndex
from service.index.index_builder import Plan, axes_for, build_stored
from service.index.manifest import EfSearch, Factory, Recall
from service.index.recall_queries import RecallQueries
from service.index.search_cost import search_cost_us
from service.types import Vectors


@dataclass(frozen=True, slots=True)
class Wish:
    """What an index has to be like.

    Attributes:
        recall: share of the true 10 and of the true 100 neighbours that must be found.
        memory_budget_bytes: for the index and the full vectors together; None: no limit. Where
            only the index fits, it answers alone: scores become estimates from its codes.
    """

    recall: float = 0.95
    memory_budget_bytes: int | None = None

    @property
    def aims(self) -> tuple[float, float]:
        """Recall to aim for at 10 and at 100."""
        return self.recall, self.recall

    def is_met_by(self, recall: Recall) -> bool:
        """Whether enough was found, at 10 and at 100."""
        return min(recall.at_10, recall.at_100) >= self.recall

    def __post_init__(self) -> None:
        if not 0.5 <= self.recall <= 0.999:
            raise InvalidSettings(
                f"A recall of {self.recall} cannot be asked for.", "Use 0.5 to 0.999, e.g. 0.95."
            )


@dataclass(frozen=True, slots=True)
class Trial:
    """One candidate as it was measured; a point of the frontier.

    `recall` is on held-out items; `too_easy` is how much more queries made of the items themselves
    find, at 10 and at 100: known, it can be taken off where nothing is left to hold out.
    `search_us` is processor time of a search for 10 on this machine; `cost_us` is what decides.
    """

    factory: Factory
    ef_construction: int | None
    ef_search: EfSearch | None
    recall: Recall
    too_easy: tuple[float, float]
    cost_us: float
    search_us: float
    build_s: float
    bytes_per_item: float
    passes: bool


def candidates(vectors: Vectors, *, rescored: bool, seed: int) -> list[Plan]:
    """The indexes worth trying for these vectors.

    Axes that hold 93 % and 97 % of the squared lengths are enough to find neighbours, where full
    vectors put them in order afterwards; without those, codes of all numbers are needed.
    """
    count, dim = vectors.shape
    lists = max(1, min(4096, int(4 * count**0.5), count // 40))
    plans = [Plan("Flat"), USUAL, Plan("HNSW16,SQ8", 100), Plan("HNSW16,SQ8", 200)]
    plans.append(Plan(f"IVF{lists},SQ8"))
    if not rescored:
        return plans
    for share, links in ((0.93, (16, 24)), (0.97, (16, 24))):
        axes = axes_for(vectors, share, seed)
        if axes < dim:
            plans += [Plan(f"PCA{axes},HNSW{each},SQ8", 200) for each in links]
            plans.append(Plan(f"PCA{axes},IVF{lists},SQ8"))
    if dim % 2 == 0:
        plans.append(Plan(f"IVF{lists},PQ{dim // 2}x4fs"))
    plans.append(Plan(f"IVF{lists},RaBitQfs"))
    return list(dict.fromkeys(plans))


def try_plan(
    queries: RecallQueries,
    plan: Plan,
    wish: Wish,
    *,
    seed: int,
    threads: int,
    rescored: bool,
    progress: Callable[[int], None] | None,
    clock: Callable[[], float],
) -> Trial:
    """Build a candidate over the vectors of the queries, choose its effort, measure everything."""
    vectors = queries.vectors
    started = clock()
    stored = build_stored(vectors, plan, seed=seed, threads=threads, progress=progress)
    build_s = clock() - started
    built = measured(stored, plan, queries, wish.aims, rescored=rescored)
    index = FaissIndex(stored, vectors, built.ef_search)
    started = clock()
    for query in queries.queries:
        index.search(query[np.newaxis], 10)
    search_us = 1e6 * (clock() - started) / len(queries.queries)
    moved = RecallQueries.sample(vectors, seed).recall(index)
    return Trial(
        factory=plan.factory,
        ef_construction=plan.ef_construction,
        ef_search=built.ef_search,
        recall=built.recall,
        too_easy=(moved.at_10 - built.recall.at_10, moved.at_100 - built.recall.at_100),
        cost_us=round(search_cost_us(stored, queries.thinned(512), built.ef_search, 10), 1),
        search_us=search_us,
        build_s=build_s,
        bytes_per_item=_size(stored) / len(vectors),
        passes=wish.is_met_by(built.recall),
    )


def _size(stored: StoredIndex) -> int:
    beside = sum(array.nbytes for array in stored.beside.values())
    return len(faiss.serialize_index(stored.index)) + beside
