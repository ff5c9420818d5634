"""How an effort is chosen: closely, surely, and with walks that end where it gets no better."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from service.index.code_search import CodeSearch
from service.index.exact_index import ExactIndex
from service.index.faiss_file import StoredIndex
from service.index.faiss_index import FaissIndex
from service.index.index_builder import Plan, build_stored
from service.index.manifest import EfSearch
from service.index.recall_queries import RecallQueries
from service.index.search_effort import choose_effort, smallest, surely
from service.types import Vectors

MakeVectors = Callable[..., Vectors]
AIM = 0.95


@pytest.fixture(scope="module")
def everything(make_vectors: MakeVectors) -> Vectors:
    """Vectors of unequal lengths that spread less along every further axis."""
    falling = np.linspace(1.6, 0.1, 32, dtype=np.float32)
    return np.ascontiguousarray(make_vectors(9_000, 32, seed=6, clusters=300) * falling)


@pytest.fixture(scope="module")
def vectors(everything: Vectors) -> Vectors:
    return everything[:8_000]


@pytest.fixture(scope="module")
def stored(vectors: Vectors) -> StoredIndex:
    return build_stored(vectors, Plan("PCA24,HNSW16,SQ8", 60), seed=1)


@pytest.fixture(scope="module")
def held_out(vectors: Vectors, everything: Vectors) -> RecallQueries:
    return RecallQueries.held_out(vectors, everything[8_000:8_500])


@pytest.fixture(scope="module")
def effort(stored: StoredIndex, held_out: RecallQueries) -> EfSearch:
    return choose_effort(stored, held_out, (AIM, AIM), rescored=True)


@pytest.mark.parametrize("wanted", [7, 8, 23, 49, 611, 1000])
def test_smallest_number_is_found_without_asking_for_many(wanted: int) -> None:
    asked: list[int] = []

    def reaches(number: int) -> bool:
        asked.append(number)
        return number >= wanted

    found = smallest(reaches, 7, 1000)
    assert found is not None
    assert wanted <= found <= wanted * 1.02
    assert len(asked) < 20
    assert max(asked) <= max(7, 2 * wanted)


def test_smallest_number_is_none_where_none_reaches() -> None:
    assert smallest(lambda number: number > 1000, 7, 1000) is None


def test_certain_recall_is_the_mean_less_what_chance_may_have_added() -> None:
    assert surely(np.ones(50)) == 1.0
    half = np.tile([0.9, 1.0], 5_000)
    assert 0.93 < surely(half[:100]) < surely(half) < 0.95


def test_chosen_effort_holds_for_other_queries(
    stored: StoredIndex, vectors: Vectors, everything: Vectors, effort: EfSearch
) -> None:
    index = FaissIndex(stored, vectors, effort)
    others = everything[8_500:]
    for k in (10, 100):
        true, _ = ExactIndex(vectors).search(others, k)
        found, _ = index.search(others, k)
        hits = sum(len(np.intersect1d(a, b)) for a, b in zip(found, true, strict=True))
        assert hits / true.size >= AIM


def test_walk_with_a_reach_compares_fewer_codes_at_the_same_recall(
    stored: StoredIndex, vectors: Vectors, held_out: RecallQueries, effort: EfSearch
) -> None:
    assert effort.reach_at_10 > 0
    index = FaissIndex(stored, vectors, effort)
    codes = CodeSearch.over(stored, vectors, rescored=True)
    assert codes is not None
    with_reach = index.effort(10, len(vectors))
    without = replace(with_reach, kept=effort.at_10, reach=0.0)
    compared = [codes.compared(held_out.queries, 10, each) for each in (with_reach, without)]
    assert compared[0] < 0.95 * compared[1]
    assert held_out.recall_at(10, index) >= AIM


def test_reach_of_nothing_still_gives_a_whole_list(
    stored: StoredIndex, vectors: Vectors, effort: EfSearch
) -> None:
    """Also where vectors are longer than the longest was said to be."""
    short = effort.model_copy(update={"reach_at_10": 1e-9, "longest": 0.1})
    rows, scores = FaissIndex(stored, vectors, short).search(vectors[:50], 10)
    assert all(len(set(line)) == 10 for line in rows.tolist())
    assert (np.diff(scores) <= 0).all()


def test_graph_linked_along_its_main_axes_holds_codes_of_whole_vectors(
    make_vectors: MakeVectors,
) -> None:
    falling = (1 / (1 + np.arange(64) / 4)).astype(np.float32)
    vectors = np.ascontiguousarray(make_vectors(4_000, 64, seed=2, clusters=100) * falling)
    stored = build_stored(vectors, Plan("HNSW16,SQ8", 60), seed=1)
    assert stored.index.d == 64
    assert stored.rows is not None
    decoded = stored.index.reconstruct_n(0, 4_000)
    np.testing.assert_allclose(decoded, vectors[stored.rows], atol=0.05)
    queries = RecallQueries.held_out(vectors, vectors[::20] * np.float32(1.01))
    lean = choose_effort(stored, queries, (AIM, AIM), rescored=False)
    assert queries.recall_at(10, FaissIndex(stored, vectors, lean)) >= AIM
