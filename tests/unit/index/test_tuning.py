from collections.abc import Callable

import faiss
import numpy as np
import pytest

from service.index.faiss_index import FaissIndex
from service.index.manifest import EfSearch
from service.index.recall_queries import RecallQueries
from service.index.tuning import build_faiss
from service.types import Vectors

MakeVectors = Callable[..., Vectors]


def test_small_catalogue_is_exact(make_vectors: MakeVectors) -> None:
    built = build_faiss(make_vectors(500, 8), seed=1)
    assert (built.factory, built.ef_search, built.ef_construction) == ("Flat", None, None)
    assert (built.recall.at_10, built.recall.at_100) == (1.0, 1.0)
    assert built.recall.queries == 500


@pytest.mark.parametrize("items", [1, 2, 5, 11, 101])
@pytest.mark.parametrize("exact_items", [0, 1000])
def test_tiny_catalogues_build(make_vectors: MakeVectors, items: int, exact_items: int) -> None:
    built = build_faiss(make_vectors(items, 4), seed=1, exact_items=exact_items)
    assert built.recall.at_10 >= 0.98


def test_catalogue_of_equal_items_has_full_recall() -> None:
    built = build_faiss(np.ones((300, 4), np.float32), seed=1)
    assert built.recall.at_10 == 1.0


def test_same_seed_gives_the_same_bytes_and_measurements(make_vectors: MakeVectors) -> None:
    vectors = make_vectors(1500, 8)
    first, second = (build_faiss(vectors, seed=4, exact_items=0) for _ in range(2))
    other = build_faiss(vectors, seed=5, exact_items=0)
    as_bytes = [faiss.serialize_index(built.index).tobytes() for built in (first, second, other)]
    assert as_bytes[0] == as_bytes[1] != as_bytes[2]
    assert (first.recall, first.ef_search) == (second.recall, second.ef_search)


def test_graph_that_misses_too_much_gives_way_to_an_exact_index(make_vectors: MakeVectors) -> None:
    built = build_faiss(make_vectors(1000, 8), seed=1, exact_items=0, recall_floor=1.01)
    assert (built.factory, built.recall.at_10) == ("Flat", 1.0)


def test_recall_counts_what_an_index_misses(make_vectors: MakeVectors) -> None:
    vectors = make_vectors(400, 8)
    queries = RecallQueries.sample(vectors, seed=1)
    blind = faiss.IndexFlatIP(8)
    blind.add(np.ascontiguousarray(vectors * np.array([1, 1, 1, 0, 0, 0, 0, 0], np.float32)))
    seen = queries.recall_at(10, FaissIndex(blind, vectors, None))
    assert 0.05 < seen < 0.9


def test_effort_grows_with_the_length_of_the_list() -> None:
    effort = EfSearch(at_10=16, at_100=196)
    assert [effort.at(k) for k in (1, 10, 55, 100, 1000)] == [16, 16, 106, 196, 1996]


def test_progress_ends_at_the_whole_catalogue(make_vectors: MakeVectors) -> None:
    seen: list[int] = []
    build_faiss(make_vectors(9000, 4), seed=1, exact_items=0, progress=seen.append)
    assert seen == [8192, 9000]
