"""Held-out queries with their true neighbours: what an index is measured against."""

from dataclasses import dataclass
from typing import TypeVar

import faiss
import numpy as np
from numpy.typing import NDArray

from service.index.exact_index import exact_scores
from service.index.faiss_index import FaissIndex
from service.index.manifest import Recall
from service.index.retriever import Neighbours
from service.types import Mask, Rows, Vectors

_QUERIES = 4096
# Which of its neighbours an item is moved by.
_NEAR = (10, 60)

Number = TypeVar("Number", np.int64, np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class RecallQueries:
    """Test queries with their true neighbours, all made of the catalogue itself.

    A query that is an item is found too easily: its own links lead to its neighbours. `sample`
    moves items by the difference between two of their near neighbours, so that a query stands
    among them and is none of them; the item it was made of never counts. `held_out` asks for
    items that are not in the catalogue, which is hardest, and right; docs/benchmarks/index.md
    compares them.

    Attributes:
        vectors: float32 (n, dim), the catalogue.
        queries: float32 (q, dim).
        rows: int64 (q,), which item each query was made of; -1 where it is in no catalogue.
        worst: float32 (2, q), scores of the true 10th and 100th neighbour.
    """

    vectors: Vectors
    queries: Vectors
    rows: Rows
    worst: Vectors

    @classmethod
    def sample(cls, vectors: Vectors, seed: int) -> "RecallQueries":
        """Draw up to 4,096 queries and find their true neighbours."""
        chance = np.random.default_rng(seed)
        count = min(_QUERIES, len(vectors))
        rows = np.sort(chance.choice(len(vectors), count, replace=False)).astype(np.int64)
        queries = _moved(vectors, rows, chance)
        found, scores = _nearest(vectors, queries, 101)
        scores = _without_self(found, rows, scores)
        others = len(vectors) - 1
        depths = [min(k, others) - 1 for k in (10, 100)]
        worst = np.stack([scores[:, depth] for depth in depths])
        return cls(vectors, queries, rows, worst)

    @classmethod
    def held_out(cls, vectors: Vectors, queries: Vectors) -> "RecallQueries":
        """Find the true neighbours of queries that are none of the vectors."""
        rows = np.full(len(queries), -1, dtype=np.int64)
        found = _nearest(vectors, queries, min(100, len(vectors)))[1]
        worst = np.stack([found[:, min(k, len(vectors)) - 1] for k in (10, 100)])
        return cls(vectors, queries, rows, worst)

    def recall(self, index: FaissIndex) -> Recall:
        """Measure an index at 10 and at 100 neighbours."""
        return Recall(
            at_10=self.recall_at(10, index),
            at_100=self.recall_at(100, index),
            queries=len(self.rows),
        )

    def recall_at(self, k: int, index: FaissIndex) -> float:
        """Share of the k true neighbours found, k 10 or 100. Any of several equals counts."""
        return round(float(self.shares_at(k, index).mean()), 4)

    def shares_at(
        self, k: int, index: FaissIndex, allowed: Mask | None = None
    ) -> NDArray[np.float64]:
        """The same for each query, (q,).

        `allowed` has to let all of them through: it chooses the way of the search.
        """
        # One more for the item that a query was made of, which does not count.
        found, _ = index.search(self.queries, k + self._are_items, allowed)
        return self.shares(k, self.hits(k, found)[:, :k])

    def shares(self, k: int, hits: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Turn (q, m) hits among what is scored in full into the share of the k that is found."""
        wanted = min(k, len(self.vectors) - self._are_items)
        if wanted == 0:
            return np.ones(len(hits))
        # Of equals there may be more hits than neighbours.
        shares: NDArray[np.float64] = np.minimum(hits.sum(axis=1), wanted) / wanted
        return shares

    def hits(self, k: int, found: Rows) -> NDArray[np.bool_]:
        """Which of (q, m) found rows, -1 where there is none, are among the k true neighbours.

        Returns:
            bool (q, m), or (q, m - 1) without the item that each query was made of.
        """
        if self._are_items:
            found = _without_self(found, self.rows, found)
        bar = self.worst[0 if k == 10 else 1]
        # Rounding differs between two ways of adding up the same products.
        bar = bar - 1e-5 * np.abs(bar) - 1e-7
        hits = np.zeros(found.shape, np.bool_)
        for line, query in enumerate(self.queries):
            named = found[line] >= 0
            scores = exact_scores(self.vectors, found[line, named], query)
            hits[line, named] = scores >= bar[line]
        return hits

    def thinned(self, count: int) -> "RecallQueries":
        """About `count` of these queries, from all over."""
        step = max(1, len(self.rows) // count)
        return RecallQueries(
            self.vectors,
            np.ascontiguousarray(self.queries[::step]),
            self.rows[::step],
            self.worst[:, ::step],
        )

    @property
    def _are_items(self) -> bool:
        return bool(self.rows[0] >= 0)


def _moved(vectors: Vectors, rows: Rows, chance: np.random.Generator) -> Vectors:
    """Each row moved by the difference between two of its near neighbours."""
    items = np.array(vectors[rows])
    last = min(_NEAR[1], len(vectors) - 1)
    first = min(_NEAR[0], last // 2)
    if last - first < 2:
        return items
    near, _ = _nearest(vectors, items, last + 1)
    near = _without_self(near, rows, near)
    line = np.arange(len(rows))
    one, other = (near[line, chance.integers(first, last, len(rows))] for _ in range(2))
    moved: Vectors = items + vectors[one] - vectors[other]
    return moved


def _nearest(vectors: Vectors, queries: Vectors, k: int) -> Neighbours:
    """The k nearest rows of each query, exactly, four times as fast as `ExactIndex`; -1 pads."""
    scores, rows = faiss.knn(queries, vectors, k, faiss.METRIC_INNER_PRODUCT)
    # FAISS pads scores with the lowest number there is.
    scores[rows < 0] = -np.inf
    return rows, scores


def _without_self(found: Rows, rows: Rows, values: NDArray[Number]) -> NDArray[Number]:
    """Drop what belongs to each query's own row, or the last where that was not found.

    Args:
        found: int64 (q, m).
        rows: int64 (q,), the row of each query.
        values: (q, m), what belongs to the found rows.

    Returns:
        (q, m - 1).
    """
    own = found == rows[:, np.newaxis]
    own[~own.any(axis=1), -1] = True
    others: NDArray[Number] = values[~own].reshape(len(rows), found.shape[1] - 1)
    return others
