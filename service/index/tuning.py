"""Which FAISS index a catalogue gets, and how hard it must search: chosen by measurement.

Nothing here is chosen by a clock, so the same vectors and the same seed give the same choice. What
a search costs is counted: distances computed, times what one of that kind takes, known from
docs/benchmarks/index.md. Seconds are measured too, for the report.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import faiss
import numpy as np
from numpy.typing import NDArray

from service.errors import InvalidSettings
from service.index.faiss_file import StoredIndex
from service.index.faiss_index import FaissIndex
from service.index.index_builder import Plan, axes_for, build_stored
from service.index.manifest import EfSearch, Factory, Recall
from service.index.recall_queries import RecallQueries
from service.index.search_effort import choose_effort, search_cost_us
from service.types import Vectors

EXACT_ITEMS = 20_000
"""Up to here an exact search takes about a millisecond, so there is nothing to approximate."""
RECALL_FLOOR = 0.95
"""An index that finds fewer of the true 10 neighbours is not used."""
TRIAL_ITEMS = 100_000
"""Candidates are compared on this many items of a larger catalogue; the winner is built on all."""

_USUAL = Plan("HNSW32,SQ8", 100)
# A list of 10 is what people look at; in a list of 100, one in twenty missed is never noticed.
_AIM_10 = 0.98
_AIM_100 = 0.95
# Recall is measured on 512 queries: what was asked for has to hold for others as well.
_MARGIN = 0.004


@dataclass(frozen=True, slots=True)
class BuiltIndex:
    """A FAISS index in memory, how it was made, and what it was measured to find.

    `ef_construction` is None without a graph, `ef_search` for a flat index. `rows` and `axes` are
    those of `StoredIndex`.
    """

    index: faiss.Index
    factory: Factory
    ef_construction: int | None
    ef_search: EfSearch | None
    recall: Recall
    rows: NDArray[np.int32] | None = None
    axes: Vectors | None = None

    @property
    def stored(self) -> StoredIndex:
        """The index with its order and axes, as it is written."""
        return StoredIndex(self.index, self.rows, self.axes)


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

    def __post_init__(self) -> None:
        if not 0.5 <= self.recall <= 0.999:
            raise InvalidSettings(
                f"A recall of {self.recall} cannot be asked for.", "Use 0.5 to 0.999, e.g. 0.95."
            )


@dataclass(frozen=True, slots=True)
class Trial:
    """One candidate as it was measured; a point of the frontier.

    `search_us` is processor time of a search for 10 on this machine; `cost_us` is what decides.
    """

    factory: Factory
    ef_construction: int | None
    ef_search: EfSearch | None
    recall: Recall
    cost_us: float
    search_us: float
    build_s: float
    bytes_per_item: float
    passes: bool


@dataclass(frozen=True, slots=True)
class Tuned:
    """The index that was chosen, and everything it was chosen from, the cheapest first.

    `chosen` is the trial that won; None where none passed and a flat index was built instead.
    """

    built: BuiltIndex
    frontier: tuple[Trial, ...]
    chosen: Trial | None
    trial_items: int


def build_faiss(
    vectors: Vectors,
    *,
    seed: int,
    threads: int = 1,
    exact_items: int = EXACT_ITEMS,
    recall_floor: float = RECALL_FLOOR,
    progress: Callable[[int], None] | None = None,
) -> BuiltIndex:
    """Build the usual index for a catalogue and measure its recall against exact search.

    Small catalogues get a flat index. Larger ones get HNSW over 8-bit codes, with the smallest
    search effort that reaches the recall we aim for; where even the largest stays below the
    floor they get a flat one after all, slow and right.

    With one thread the same vectors and seed give the same bytes. More threads link the graph in
    an order of their own: its recall is then measured, not repeated.

    Args:
        vectors: float32 (n, dim), n ≥ 1, C order, checked by `check_vectors`.
        seed: chooses the test queries and the levels of the graph.
        threads: cores for building the graph.
        exact_items: catalogues up to this size get a flat index.
        recall_floor: recall@10 below which no graph is accepted.
        progress: told how many vectors are in the index.
    """
    queries = RecallQueries.sample(vectors, seed)
    if len(vectors) > exact_items:
        stored = build_stored(vectors, _USUAL, seed=seed, threads=threads, progress=progress)
        built = _measured(stored, _USUAL, queries, (_AIM_10, _AIM_100), rescored=True)
        if built.recall.at_10 >= recall_floor:
            return built
    return _flat(vectors, queries)


def tune(
    vectors: Vectors,
    wish: Wish,
    *,
    seed: int,
    threads: int = 1,
    plans: Sequence[Plan] | None = None,
    trial_items: int = TRIAL_ITEMS,
    progress: Callable[[str, int], None] | None = None,
    clock: Callable[[], float] = time.process_time,
) -> Tuned:
    """Build many kinds of index on items of this catalogue and keep the cheapest that passes.

    Args:
        vectors: float32 (n, dim), n ≥ 1, C order.
        wish: what the index has to be like.
        seed: chooses queries, trial items, and everything random in an index.
        threads: cores for building. More than one, and a graph is not the same twice.
        plans: the candidates; `candidates` by default.
        trial_items: how many items to compare candidates on.
        progress: told the candidate and how many vectors are in it.
        clock: seconds, for the report only.

    Raises:
        InvalidSettings: not even the smallest index that passes fits the memory budget.
    """
    sample = _trial_vectors(vectors, trial_items, seed)
    queries = RecallQueries.sample(sample, seed)
    rescored = _fits_with_vectors(vectors, wish)
    trials, made = [], {}
    for plan in plans if plans is not None else candidates(sample, rescored=rescored, seed=seed):
        report = None if progress is None else _bind(progress, plan.factory)
        trial, built = _try(sample, plan, queries, wish, seed, threads, rescored, report, clock)
        trials.append(trial)
        made[plan] = built if len(sample) == len(vectors) else None
    trials.sort(key=lambda trial: (trial.cost_us, trial.bytes_per_item, trial.factory))
    fitting = [t for t in trials if t.passes and _fits(t, vectors, wish, rescored=rescored)]
    for trial in fitting:
        plan = Plan(trial.factory, trial.ef_construction)
        built = made[plan] or _build_on_all(vectors, plan, wish, seed, threads, rescored, progress)
        if _passes(built.recall, wish):
            return Tuned(built, tuple(trials), trial, len(sample))
    if wish.memory_budget_bytes is not None:
        raise InvalidSettings(
            f"No index of {len(vectors):,} items with recall {wish.recall} fits "
            f"{wish.memory_budget_bytes / 1e6:.0f} MB.",
            "Allow more memory, or ask for less recall.",
        )
    flat = _flat(vectors, RecallQueries.sample(vectors, seed))
    return Tuned(flat, tuple(trials), None, len(sample))


def candidates(vectors: Vectors, *, rescored: bool, seed: int) -> list[Plan]:
    """The indexes worth trying for these vectors.

    Axes that hold 93 % and 97 % of the squared lengths are enough to find neighbours, where full
    vectors put them in order afterwards; without those, codes of all numbers are needed.
    """
    count, dim = vectors.shape
    lists = max(1, min(4096, int(4 * count**0.5), count // 40))
    plans = [Plan("Flat"), _USUAL, Plan("HNSW16,SQ8", 100), Plan("HNSW16,SQ8", 200)]
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


def _try(
    vectors: Vectors,
    plan: Plan,
    queries: RecallQueries,
    wish: Wish,
    seed: int,
    threads: int,
    rescored: bool,
    report: Callable[[int], None] | None,
    clock: Callable[[], float],
) -> tuple[Trial, BuiltIndex]:
    started = clock()
    stored = build_stored(vectors, plan, seed=seed, threads=threads, progress=report)
    build_s = clock() - started
    built = _measured(stored, plan, queries, _aims(wish), rescored=rescored)
    index = FaissIndex(stored, vectors, built.ef_search)
    started = clock()
    for query in queries.queries:
        index.search(query[np.newaxis], 10)
    search_us = 1e6 * (clock() - started) / len(queries.queries)
    trial = Trial(
        factory=plan.factory,
        ef_construction=plan.ef_construction,
        ef_search=built.ef_search,
        recall=built.recall,
        cost_us=round(search_cost_us(stored, vectors, built.ef_search, queries, 10), 1),
        search_us=search_us,
        build_s=build_s,
        bytes_per_item=_size(stored) / len(vectors),
        passes=_passes(built.recall, wish),
    )
    return trial, built


def _measured(
    stored: StoredIndex,
    plan: Plan,
    queries: RecallQueries,
    aims: tuple[float, float],
    *,
    rescored: bool,
) -> BuiltIndex:
    """Choose the search effort of an index and measure what it then finds."""
    effort = None
    if plan.factory != "Flat":
        effort = choose_effort(stored, queries, aims, rescored=rescored)
    recall = queries.recall(FaissIndex(stored, queries.vectors, effort))
    return BuiltIndex(
        stored.index, plan.factory, plan.ef_construction, effort, recall, stored.rows, stored.axes
    )


def _flat(vectors: Vectors, queries: RecallQueries) -> BuiltIndex:
    plan = Plan("Flat")
    return _measured(build_stored(vectors, plan, seed=0), plan, queries, (1, 1), rescored=True)


def _build_on_all(
    vectors: Vectors,
    plan: Plan,
    wish: Wish,
    seed: int,
    threads: int,
    rescored: bool,
    progress: Callable[[str, int], None] | None,
) -> BuiltIndex:
    plan = replace(plan, factory=_scaled(plan.factory, len(vectors)))
    report = None if progress is None else _bind(progress, plan.factory)
    stored = build_stored(vectors, plan, seed=seed, threads=threads, progress=report)
    queries = RecallQueries.sample(vectors, seed)
    return _measured(stored, plan, queries, _aims(wish), rescored=rescored)


def _scaled(factory: Factory, count: int) -> Factory:
    """The same type with as many lists as this many items want."""
    parts = [
        f"IVF{max(1, min(16384, int(4 * count**0.5)))}" if part.startswith("IVF") else part
        for part in factory.split(",")
    ]
    return ",".join(parts)


def _aims(wish: Wish) -> tuple[float, float]:
    aim = min(wish.recall + _MARGIN, 0.9995)
    return aim, aim


def _passes(recall: Recall, wish: Wish) -> bool:
    return min(recall.at_10, recall.at_100) >= wish.recall


def _fits_with_vectors(vectors: Vectors, wish: Wish) -> bool:
    return wish.memory_budget_bytes is None or vectors.nbytes < wish.memory_budget_bytes


def _fits(trial: Trial, vectors: Vectors, wish: Wish, *, rescored: bool) -> bool:
    if wish.memory_budget_bytes is None:
        return True
    index = trial.bytes_per_item * len(vectors)
    return index + (vectors.nbytes if rescored else 0) <= wish.memory_budget_bytes


def _size(stored: StoredIndex) -> int:
    beside = sum(array.nbytes for array in (stored.rows, stored.axes) if array is not None)
    return len(faiss.serialize_index(stored.index)) + beside


def _trial_vectors(vectors: Vectors, count: int, seed: int) -> Vectors:
    if len(vectors) <= count:
        return vectors
    chosen = np.random.default_rng(seed).choice(len(vectors), count, replace=False)
    return np.ascontiguousarray(vectors[np.sort(chosen)])


def _bind(progress: Callable[[str, int], None], name: str) -> Callable[[int], None]:
    return lambda done: progress(name, done)
