from collections.abc import Callable

import faiss
import numpy as np
import pytest

from service.errors import InvalidSettings
from service.index.faiss_index import FaissIndex
from service.index.index_builder import Plan
from service.index.manifest import EfSearch
from service.index.recall_queries import RecallQueries
from service.index.tuning import Wish, build_faiss, candidates, tune
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
    as_bytes = [
        faiss.serialize_index(built.stored.index).tobytes() for built in (first, second, other)
    ]
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


PLANS = (Plan("Flat"), Plan("HNSW16,SQ8", 60), Plan("PCA16,HNSW8,SQ8", 60), Plan("IVF32,SQ8"))


def test_cheapest_index_that_passes_is_chosen(make_vectors: MakeVectors) -> None:
    tuned = tune(make_vectors(800, 24, clusters=40), Wish(0.9), seed=1, plans=PLANS)
    assert tuned.chosen is not None
    assert tuned.chosen.cost_us == min(t.cost_us for t in tuned.frontier if t.passes)
    assert min(tuned.built.recall.at_10, tuned.built.recall.at_100) >= 0.9
    assert {trial.factory for trial in tuned.frontier} == {plan.factory for plan in PLANS}


def test_choice_does_not_depend_on_the_clock(make_vectors: MakeVectors) -> None:
    vectors = make_vectors(600, 16, clusters=30)
    runs = [
        tune(vectors, Wish(0.95), seed=3, plans=PLANS[:3], clock=iter(clock).__next__)
        for clock in (np.arange(100.0), np.arange(0, -100.0, -1))
    ]
    first, second = ([(t.factory, t.ef_search, t.cost_us) for t in run.frontier] for run in runs)
    assert first == second
    assert runs[0].built.factory == runs[1].built.factory
    as_bytes = [faiss.serialize_index(run.built.stored.index).tobytes() for run in runs]
    assert as_bytes[0] == as_bytes[1]


def test_winner_of_the_trial_is_built_on_every_item(make_vectors: MakeVectors) -> None:
    vectors = make_vectors(1200, 16, clusters=60)
    tuned = tune(vectors, Wish(0.9), seed=1, plans=PLANS[1:2], trial_items=500)
    assert (tuned.trial_items, tuned.built.stored.index.ntotal) == (500, 1200)
    assert tuned.built.recall.at_10 >= 0.9


def test_index_alone_answers_where_the_vectors_do_not_fit(make_vectors: MakeVectors) -> None:
    vectors = make_vectors(800, 96, clusters=40)
    budget = vectors.nbytes - 1
    tuned = tune(vectors, Wish(0.9, budget), seed=1, plans=(Plan("HNSW16,SQ8", 60),))
    assert tuned.built.ef_search is not None
    assert not tuned.built.ef_search.rescored
    assert tuned.built.recall.at_10 >= 0.9
    unread = np.full_like(vectors, np.nan)
    rows, scores = FaissIndex(tuned.built.stored, unread, tuned.built.ef_search).search(
        vectors[:5], 10
    )
    assert np.isfinite(scores).all()
    assert (rows >= 0).all()


def test_memory_that_no_index_fits_is_refused(make_vectors: MakeVectors) -> None:
    with pytest.raises(InvalidSettings, match="fits 0 MB"):
        tune(make_vectors(1000, 16), Wish(0.9, 1000), seed=1, plans=PLANS[:2])


def test_impossible_recall_is_refused() -> None:
    with pytest.raises(InvalidSettings, match="cannot be asked for"):
        Wish(1.0)


def test_candidates_fit_the_vectors(make_vectors: MakeVectors) -> None:
    plans = candidates(make_vectors(5000, 64, clusters=5), rescored=True, seed=1)
    assert len(plans) == len(set(plans)) >= 7
    assert all((plan.axes or 1) < 64 for plan in plans)
    without = candidates(make_vectors(5000, 64), rescored=False, seed=1)
    assert all(plan.axes is None for plan in without)
