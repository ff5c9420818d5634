"""Which FAISS index a catalogue gets, and how hard it must search: chosen by measurement."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import faiss
import numpy as np

from service.index.exact_index import ExactIndex
from service.index.faiss_index import FaissIndex, exact_scores
from service.index.manifest import EfSearch, Factory, Recall
from service.index.retriever import Neighbours
from service.types import Rows, Vectors

EXACT_ITEMS = 20_000
"""Up to here an exact search takes about a millisecond, so there is nothing to approximate."""
RECALL_FLOOR = 0.95
"""A graph that finds fewer of the true 10 neighbours is not used."""

_EF_CONSTRUCTION = 100
_LADDER_10 = (10, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)
_LADDER_100 = (100, 128, 192, 256, 384, 512, 768, 1024)
# A list of 10 is what people look at; in a list of 100, one in twenty missed is never noticed.
_AIM_10 = 0.98
_AIM_100 = 0.95
_QUERIES = 512
_NOISE = 0.2
_ADD_ROWS = 8192


@dataclass(frozen=True, slots=True)
class BuiltIndex:
    """A FAISS index in memory, how it was made, and what it was measured to find.

    `ef_construction` and `ef_search` are None for a flat index.
    """

    index: faiss.Index
    factory: Factory
    ef_construction: int | None
    ef_search: EfSearch | None
    recall: Recall


def build_faiss(
    vectors: Vectors,
    *,
    seed: int,
    threads: int = 1,
    exact_items: int = EXACT_ITEMS,
    recall_floor: float = RECALL_FLOOR,
    progress: Callable[[int], None] | None = None,
) -> BuiltIndex:
    """Build the index for a catalogue and measure its recall against exact search.

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
        graph = _build_graph(vectors, seed, threads, progress)
        ef_search = _choose_effort(graph, vectors, queries)
        recall = queries.recall(FaissIndex(graph, vectors, ef_search))
        if recall.at_10 >= recall_floor:
            return BuiltIndex(graph, "HNSW32,SQ8", _EF_CONSTRUCTION, ef_search, recall)
    flat = faiss.IndexFlatIP(vectors.shape[1])
    flat.add(vectors)
    return BuiltIndex(flat, "Flat", None, None, queries.recall(FaissIndex(flat, vectors, None)))


@dataclass(frozen=True, slots=True)
class RecallQueries:
    """Test queries with their true neighbours, all taken from the catalogue itself.

    Half are items as they are (what "more like this" asks), half are items moved by a fifth of
    their length in a random direction (what stands near the catalogue but not in it). An item
    never counts as its own neighbour.

    Attributes:
        vectors: float32 (n, dim), the catalogue.
        queries: float32 (q, dim).
        rows: int64 (q,), which item each query was made of.
        worst: float32 (2, q), scores of the true 10th and 100th neighbour.
    """

    vectors: Vectors
    queries: Vectors
    rows: Rows
    worst: Vectors

    @classmethod
    def sample(cls, vectors: Vectors, seed: int) -> "RecallQueries":
        """Draw up to 512 queries and find their true neighbours."""
        chance = np.random.default_rng(seed)
        count = min(_QUERIES, len(vectors))
        rows = np.sort(chance.choice(len(vectors), count, replace=False)).astype(np.int64)
        queries = np.array(vectors[rows])
        moved = chance.permutation(count)[: count // 2]
        noise = chance.standard_normal((len(moved), vectors.shape[1])).astype(np.float32)
        length = np.linalg.norm(queries[moved], axis=1) / np.linalg.norm(noise, axis=1)
        queries[moved] += _NOISE * length[:, np.newaxis] * noise
        _, scores = _without_self(ExactIndex(vectors).search(queries, 101), rows)
        others = len(vectors) - 1
        depths = [min(k, others) - 1 for k in (10, 100)]
        worst = np.stack([scores[:, depth] for depth in depths])
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
        wanted = min(k, len(self.vectors) - 1)
        if wanted == 0:
            return 1.0
        found, _ = _without_self(index.search(self.queries, k + 1), self.rows)
        bar = self.worst[0 if k == 10 else 1]
        # Rounding differs between two ways of adding up the same products.
        slack = 1e-5 * np.abs(bar) + 1e-7
        hits = 0
        for line, query in enumerate(self.queries):
            rows = found[line, :wanted]
            scores = exact_scores(self.vectors, rows[rows >= 0], query)
            hits += int((scores >= bar[line] - slack[line]).sum())
        return round(hits / (wanted * len(self.rows)), 4)


def _choose_effort(graph: faiss.Index, vectors: Vectors, queries: RecallQueries) -> EfSearch:
    """Climb each ladder to the first rung that reaches its aim, or to its top."""
    top = _LADDER_100[-1]
    at_10 = next(
        (
            effort
            for effort in _LADDER_10
            if queries.recall_at(
                10, FaissIndex(graph, vectors, EfSearch(at_10=effort, at_100=max(effort, 100)))
            )
            >= _AIM_10
        ),
        _LADDER_10[-1],
    )
    at_100 = next(
        (
            effort
            for effort in _LADDER_100
            if effort >= at_10
            and queries.recall_at(
                100, FaissIndex(graph, vectors, EfSearch(at_10=at_10, at_100=effort))
            )
            >= _AIM_100
        ),
        top,
    )
    return EfSearch(at_10=at_10, at_100=at_100)


def _build_graph(
    vectors: Vectors, seed: int, threads: int, progress: Callable[[int], None] | None
) -> faiss.Index:
    graph = faiss.index_factory(vectors.shape[1], "HNSW32,SQ8", faiss.METRIC_INNER_PRODUCT)
    graph.hnsw.efConstruction = _EF_CONSTRUCTION
    graph.hnsw.rng = faiss.RandomGenerator(seed)
    with _faiss_threads(threads):
        graph.train(vectors)
        for start in range(0, len(vectors), _ADD_ROWS):
            graph.add(vectors[start : start + _ADD_ROWS])
            if progress:
                progress(graph.ntotal)
    return graph


@contextmanager
def _faiss_threads(threads: int) -> Iterator[None]:
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(threads)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


def _without_self(found: Neighbours, rows: Rows) -> Neighbours:
    """Drop each query's own row, or the last where it was not found: one column fewer."""
    neighbours, scores = found
    own = neighbours == rows[:, np.newaxis]
    own[~own.any(axis=1), -1] = True
    shape = (len(rows), neighbours.shape[1] - 1)
    return neighbours[~own].reshape(shape), scores[~own].reshape(shape)
