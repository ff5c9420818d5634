"""A built index with its measured recall, and the usual one that needs no tuning."""

from collections.abc import Callable
from dataclasses import dataclass

from service.index.faiss_file import StoredIndex
from service.index.faiss_index import FaissIndex
from service.index.index_builder import Plan, build_stored
from service.index.manifest import EfSearch, Factory, Recall
from service.index.recall_queries import RecallQueries
from service.index.search_effort import choose_effort
from service.types import Vectors

EXACT_ITEMS = 20_000
"""Up to here an exact search takes about a millisecond, so there is nothing to approximate."""
RECALL_FLOOR = 0.95
"""An index that finds fewer of the true 10 neighbours is not used."""
USUAL = Plan("HNSW32,SQ8", 100)
"""What a larger catalogue gets without tuning."""

# A list of 10 is what people look at; in a list of 100, one in twenty missed is never noticed.
_AIM_10 = 0.98
_AIM_100 = 0.95


@dataclass(frozen=True, slots=True)
class BuiltIndex:
    """An index in memory, how it was made, and what it was measured to find.

    `ef_construction` is None without a graph, `ef_search` for a flat index.
    """

    stored: StoredIndex
    factory: Factory
    ef_construction: int | None
    ef_search: EfSearch | None
    recall: Recall


def build_faiss(
    vectors: Vectors,
    *,
    seed: int,
    threads: int = 1,
    plan: Plan = USUAL,
    rescored: bool = True,
    exact_items: int = EXACT_ITEMS,
    recall_floor: float = RECALL_FLOOR,
    progress: Callable[[int], None] | None = None,
) -> BuiltIndex:
    """Build one index for a catalogue and measure its recall against exact search.

    Small catalogues get a flat index. Larger ones get HNSW over 8-bit codes, or what `plan` says,
    with the smallest search effort that reaches the recall we aim for; where even the largest
    stays below the floor they get a flat one after all, slow and right.

    With one thread the same vectors and seed give the same bytes. More threads link the graph in
    an order of their own: its recall is then measured, not repeated.

    Args:
        vectors: float32 (n, dim), n ≥ 1, C order, checked by `check_vectors`.
        seed: chooses the test queries and the levels of the graph.
        threads: cores for building the graph.
        plan: what a larger catalogue gets.
        rescored: score what it finds again with the full vectors.
        exact_items: catalogues up to this size get a flat index.
        recall_floor: recall@10 below which no graph is accepted.
        progress: told how many vectors are in the index.
    """
    queries = RecallQueries.sample(vectors, seed)
    if len(vectors) > exact_items:
        stored = build_stored(vectors, plan, seed=seed, threads=threads, progress=progress)
        built = measured(stored, plan, queries, (_AIM_10, _AIM_100), rescored=rescored)
        if built.recall.at_10 >= recall_floor:
            return built
    return flat(vectors, queries)


def measured(
    stored: StoredIndex,
    plan: Plan,
    queries: RecallQueries,
    aims: tuple[float, float],
    *,
    rescored: bool,
    too_easy: tuple[float, float] = (0.0, 0.0),
) -> BuiltIndex:
    """Choose the search effort of an index and measure what it then finds.

    `too_easy` is by how much these queries find more than held-out ones do, at 10 and at 100: so
    much more is aimed for, and so much is taken off what was found.
    """
    effort = None
    if plan.factory != "Flat":
        raised = tuple(min(1.0, a + easy) for a, easy in zip(aims, too_easy, strict=True))
        effort = choose_effort(stored, queries, (raised[0], raised[1]), rescored=rescored)
    found = queries.recall(FaissIndex(stored, queries.vectors, effort))
    recall = Recall(
        at_10=_between(found.at_10 - too_easy[0]),
        at_100=_between(found.at_100 - too_easy[1]),
        queries=found.queries,
    )
    return BuiltIndex(stored, plan.factory, plan.ef_construction, effort, recall)


def flat(vectors: Vectors, queries: RecallQueries) -> BuiltIndex:
    """Build a flat index, which is exact; vectors are those of the queries."""
    plan = Plan("Flat")
    return measured(build_stored(vectors, plan, seed=0), plan, queries, (1, 1), rescored=True)


def _between(recall: float) -> float:
    return round(min(1.0, max(0.0, recall)), 4)
