"""Held-out queries with their true neighbours: what an index is measured against."""

from dataclasses import dataclass

import numpy as np

from service.index.exact_index import ExactIndex
from service.index.faiss_index import FaissIndex, exact_scores
from service.index.manifest import Recall
from service.index.retriever import Neighbours
from service.types import Mask, Rows, Vectors

_QUERIES = 1024
# Which of its neighbours an item is moved by.
_NEAR = (10, 60)


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
        """Draw up to 1,024 queries and find their true neighbours."""
        chance = np.random.default_rng(seed)
        count = min(_QUERIES, len(vectors))
        rows = np.sort(chance.choice(len(vectors), count, replace=False)).astype(np.int64)
        queries = _moved(vectors, rows, chance)
        _, scores = _without_self(ExactIndex(vectors).search(queries, 101), rows)
        others = len(vectors) - 1
        depths = [min(k, others) - 1 for k in (10, 100)]
        worst = np.stack([scores[:, depth] for depth in depths])
        return cls(vectors, queries, rows, worst)

    @classmethod
    def held_out(cls, vectors: Vectors, queries: Vectors) -> "RecallQueries":
        """Find the true neighbours of queries that are none of the vectors."""
        rows = np.full(len(queries), -1, dtype=np.int64)
        found = ExactIndex(vectors).search(queries, min(100, len(vectors)))[1]
        worst = np.stack([found[:, min(k, len(vectors)) - 1] for k in (10, 100)])
        return cls(vectors, queries, rows, worst)

    def recall(self, index: FaissIndex) -> Recall:
        """Measure an index at 10 and at 100 neighbours."""
        return Recall(
            at_10=self.recall_at(10, index),
            at_100=self.recall_at(100, index),
            queries=len(self.rows),
        )

    def recall_at(self, k: int, index: FaissIndex, allowed: Mask | None = None) -> float:
        """Share of the k true neighbours found, k 10 or 100. Any of several equals counts.

        `allowed` has to let all of them through: it chooses the way of the search.
        """
        is_held_out = self.rows[0] < 0
        wanted = min(k, len(self.vectors) - (not is_held_out))
        if wanted == 0:
            return 1.0
        if is_held_out:
            found, _ = index.search(self.queries, k, allowed)
        else:
            found, _ = _without_self(index.search(self.queries, k + 1, allowed), self.rows)
        bar = self.worst[0 if k == 10 else 1]
        # Rounding differs between two ways of adding up the same products.
        slack = 1e-5 * np.abs(bar) + 1e-7
        hits = 0
        for line, query in enumerate(self.queries):
            rows = found[line, :wanted]
            scores = exact_scores(self.vectors, rows[rows >= 0], query)
            hits += int((scores >= bar[line] - slack[line]).sum())
        return round(hits / (wanted * len(self.rows)), 4)


def _moved(vectors: Vectors, rows: Rows, chance: np.random.Generator) -> Vectors:
    """Each row moved by the difference between two of its near neighbours."""
    items = np.array(vectors[rows])
    last = min(_NEAR[1], len(vectors) - 1)
    first = min(_NEAR[0], last // 2)
    if last - first < 2:
        return items
    near, _ = _without_self(ExactIndex(vectors).search(items, last + 1), rows)
    line = np.arange(len(rows))
    one, other = (near[line, chance.integers(first, last, len(rows))] for _ in range(2))
    moved: Vectors = items + vectors[one] - vectors[other]
    return moved


def _without_self(found: Neighbours, rows: Rows) -> Neighbours:
    """Drop each query's own row, or the last where it was not found: one column fewer."""
    neighbours, scores = found
    own = neighbours == rows[:, np.newaxis]
    own[~own.any(axis=1), -1] = True
    shape = (len(rows), neighbours.shape[1] - 1)
    return neighbours[~own].reshape(shape), scores[~own].reshape(shape)
