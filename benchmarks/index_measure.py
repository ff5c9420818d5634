"""Recall against exact search, and processor time of single searches, asked in turn."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache

import faiss
import numpy as np
from numpy.typing import NDArray

from benchmarks.index_rivals import Ask
from service.index.search_effort import smallest
from service.types import Vectors

EFFORT_MAX = 2_048


@dataclass
class Contender:
    """An index set to one effort, its recall, and what its searches took.

    `seconds` holds one array a round: processor seconds of each search.
    """

    name: str
    aim: float
    effort: int
    recall: float
    ask: Ask
    set_up: Callable[[], None]
    seconds: list[NDArray[np.float64]] = field(default_factory=list)

    @property
    def per_second(self) -> float:
        """Searches a second: one over the median of the rounds' means."""
        return float(1 / np.median([each.mean() for each in self.seconds]))

    def quantile_us(self, share: float) -> float:
        """Microseconds that a share of all searches stays below, median of the rounds."""
        return float(np.median([np.quantile(each, share) for each in self.seconds]) * 1e6)


def true_rows(vectors: Vectors, queries: Vectors, k: int) -> NDArray[np.int64]:
    """The k true neighbours of each query; int64 (q, k)."""
    rows: NDArray[np.int64] = faiss.knn(queries, vectors, k, faiss.METRIC_INNER_PRODUCT)[1]
    return rows


def recall_of(ask: Ask, queries: Vectors, truth: NDArray[np.int64]) -> float:
    """Share of the true neighbours that are found, one query at a time."""
    k = truth.shape[1]
    found = np.stack([ask(query, k) for query in queries])
    return float((found[:, :, np.newaxis] == truth[:, np.newaxis]).sum() / truth.size)


def smallest_effort(
    ask: Ask,
    set_effort: Callable[[int], None],
    queries: Vectors,
    truth: NDArray[np.int64],
    aims: Sequence[float],
) -> list[tuple[float, int, float]]:
    """For each aim that is reached the smallest effort that does: aim, effort, recall."""

    @cache
    def recall(effort: int) -> float:
        set_effort(effort)
        return recall_of(ask, queries, truth)

    reached: list[tuple[float, int, float]] = []
    for aim in sorted(aims):
        low = reached[-1][1] if reached else truth.shape[1]
        effort = smallest(lambda each, aim=aim: recall(each) >= aim, low, EFFORT_MAX)  # type: ignore[misc]
        if effort is None:
            break
        reached.append((aim, effort, recall(effort)))
    return reached


def time_in_turn(
    contenders: Sequence[Contender], queries: Vectors, k: int, rounds: int, each: int
) -> None:
    """Ask every contender for the same queries, round by round, so that noise falls on all."""
    for number in range(rounds):
        chosen = queries[[(number * each + i) % len(queries) for i in range(each)]]
        for contender in contenders:
            contender.set_up()
            # What another engine pushed out of the cache is no fault of this one.
            for query in chosen[:20]:
                contender.ask(query, k)
            contender.seconds.append(single_searches(_one(contender, k), chosen))


def single_searches(
    search: Callable[[NDArray[np.float32]], object], queries: Vectors
) -> NDArray[np.float64]:
    """Processor seconds of each search."""
    spent = np.empty(len(queries))
    for i, query in enumerate(queries):
        started = time.thread_time_ns()
        search(query)
        spent[i] = (time.thread_time_ns() - started) / 1e9
    return spent


def _one(contender: Contender, k: int) -> Callable[[NDArray[np.float32]], object]:
    return lambda query: contender.ask(query, k)
