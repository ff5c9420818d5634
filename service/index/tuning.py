"""Tuning: many kinds of index are tried on this catalogue, and the cheapest that passes is kept.

Nothing is chosen by a clock, so the same vectors and the same seed give the same choice. What a
search costs is counted: distances computed, times what one of that kind takes, known from
docs/benchmarks/index.md. Seconds are measured too, for the report.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from service.errors import InvalidSettings
from service.index.built_index import BuiltIndex, build_faiss, flat, measured
from service.index.index_builder import Plan, build_stored
from service.index.manifest import Factory
from service.index.recall_queries import RecallQueries
from service.index.trials import Trial, Wish, candidates, try_plan
from service.types import Vectors

__all__ = ["BuiltIndex", "Trial", "Tuned", "Wish", "build_faiss", "candidates", "tune"]

HELD_OUT = 4_096
"""Items that are left out of the trials, to be asked for."""
TRIAL_ITEMS = 100_000
"""Candidates are compared on this many items of a larger catalogue; the winner is built on all."""


@dataclass(frozen=True, slots=True)
class Tuned:
    """The index that was chosen, and everything it was chosen from, the cheapest first.

    `chosen` is the trial that won; None where none passed and a flat index was built instead.
    """

    built: BuiltIndex
    frontier: tuple[Trial, ...]
    chosen: Trial | None
    trial_items: int


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
    trial_vectors, queries = _hold_out(vectors, trial_items, seed)
    rescored = _fits_with_vectors(vectors, wish)
    if plans is None:
        plans = candidates(trial_vectors, rescored=rescored, seed=seed)
    trials = [
        try_plan(
            queries,
            plan,
            wish,
            seed=seed,
            threads=threads,
            rescored=rescored,
            progress=None if progress is None else partial(progress, plan.factory),
            clock=clock,
        )
        for plan in plans
    ]
    trials.sort(key=lambda trial: (trial.cost_us, trial.bytes_per_item, trial.factory))
    everything = RecallQueries.sample(vectors, seed)
    for trial in trials:
        if not (trial.passes and _fits(trial, vectors, wish, rescored=rescored)):
            continue
        plan = Plan(_scaled(trial.factory, len(vectors)), trial.ef_construction)
        report = None if progress is None else partial(progress, plan.factory)
        stored = build_stored(vectors, plan, seed=seed, threads=threads, progress=report)
        built = measured(
            stored, plan, everything, wish.aims, rescored=rescored, too_easy=trial.too_easy
        )
        if wish.is_met_by(built.recall):
            return Tuned(built, tuple(trials), trial, len(trial_vectors))
    if wish.memory_budget_bytes is not None:
        raise InvalidSettings(
            f"No index of {len(vectors):,} items with recall {wish.recall} fits "
            f"{wish.memory_budget_bytes / 1e6:.0f} MB.",
            "Allow more memory, or ask for less recall.",
        )
    return Tuned(flat(vectors, everything), tuple(trials), None, len(trial_vectors))


def _scaled(factory: Factory, count: int) -> Factory:
    """The same type with as many lists as this many items want."""
    parts = [
        f"IVF{max(1, min(16384, int(4 * count**0.5)))}" if part.startswith("IVF") else part
        for part in factory.split(",")
    ]
    return ",".join(parts)


def _fits_with_vectors(vectors: Vectors, wish: Wish) -> bool:
    return wish.memory_budget_bytes is None or vectors.nbytes < wish.memory_budget_bytes


def _fits(trial: Trial, vectors: Vectors, wish: Wish, *, rescored: bool) -> bool:
    if wish.memory_budget_bytes is None:
        return True
    index = trial.bytes_per_item * len(vectors)
    return index + (vectors.nbytes if rescored else 0) <= wish.memory_budget_bytes


def _hold_out(vectors: Vectors, count: int, seed: int) -> tuple[Vectors, RecallQueries]:
    """Items to try candidates on, and queries that are items of the catalogue, but none of them."""
    order = np.random.default_rng(seed).permutation(len(vectors))
    queries = min(HELD_OUT, len(vectors) // 5)
    if queries == 0:
        return vectors, RecallQueries.sample(vectors, seed)
    asked, kept = order[:queries], np.sort(order[queries : queries + count])
    trial_vectors = np.ascontiguousarray(vectors[kept])
    return trial_vectors, RecallQueries.held_out(trial_vectors, np.array(vectors[asked]))
