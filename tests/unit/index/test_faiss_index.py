"""What is special about the served index: mapping, filters over many survivors, refusals."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import faiss
import numpy as np
import pytest

from service.errors import CorruptArtifact
from service.index.exact_index import ExactIndex, exact_scores
from service.index.faiss_file import StoredIndex
from service.index.faiss_index import FaissIndex, few_survivors
from service.index.manifest import EfSearch, Factory
from service.index.tuning import BuiltIndex, build_faiss
from service.index.vectors import open_vectors, write_vectors
from service.types import Vectors

MakeVectors = Callable[..., Vectors]
EFFORT = EfSearch(at_10=48, at_100=200)


@pytest.fixture(scope="module")
def large(make_vectors: MakeVectors) -> tuple[Vectors, BuiltIndex]:
    """More items than are searched exactly: 25,000, with so few dimensions that it is quick."""
    vectors = make_vectors(25_000, 24, seed=3, clusters=400)
    return vectors, build_faiss(vectors, seed=3)


def save(stored: StoredIndex | faiss.Index, folder: Path) -> Path:
    path = folder / "index.faiss"
    (stored if isinstance(stored, StoredIndex) else StoredIndex(stored)).write(path)
    return path


def overlap(found: np.ndarray, true: np.ndarray) -> float:
    hits = [len(np.intersect1d(a, b)) for a, b in zip(found, true, strict=True)]
    return sum(hits) / true.size


def test_large_catalogue_gets_a_graph_above_the_recall_floor(
    large: tuple[Vectors, BuiltIndex], make_vectors: MakeVectors
) -> None:
    vectors, built = large
    assert built.factory == "HNSW32,SQ8"
    assert built.recall.at_10 >= 0.98
    # Queries that the build has not seen, and that are no items.
    queries = make_vectors(200, 24, seed=3, clusters=400) * np.float32(1.01)
    index = FaissIndex(built.stored, vectors, built.ef_search)
    for k in (10, 100):
        true, _ = ExactIndex(vectors).search(queries, k)
        assert overlap(index.search(queries, k)[0], true) >= 0.95


@pytest.mark.parametrize("share", [0.0004, 0.01, 0.1])
def test_few_survivors_of_a_filter_are_searched_exactly(
    large: tuple[Vectors, BuiltIndex], share: float
) -> None:
    vectors, built = large
    allowed = np.random.default_rng(1).random(len(vectors)) < share
    assert allowed.sum() <= few_survivors(len(vectors), built.ef_search)
    index = FaissIndex(built.stored, vectors, built.ef_search)
    rows, scores = index.search(vectors[:20], 10, allowed)
    true_rows, true_scores = ExactIndex(vectors).search(vectors[:20], 10, allowed)
    np.testing.assert_array_equal(rows, true_rows)
    np.testing.assert_allclose(scores, true_scores, rtol=1e-4)


def test_many_survivors_are_found_in_the_graph_and_nothing_forbidden_is(
    large: tuple[Vectors, BuiltIndex],
) -> None:
    vectors, built = large
    allowed = np.random.default_rng(2).random(len(vectors)) < 0.9
    assert allowed.sum() > few_survivors(len(vectors), built.ef_search)
    rows, _ = FaissIndex(built.stored, vectors, built.ef_search).search(vectors[:200], 10, allowed)
    assert allowed[rows].all()
    true, _ = ExactIndex(vectors).search(vectors[:200], 10, allowed)
    assert overlap(rows, true) >= 0.95


def test_list_longer_than_any_effort_is_still_complete(large: tuple[Vectors, BuiltIndex]) -> None:
    vectors, built = large
    rows, _ = FaissIndex(built.stored, vectors, built.ef_search).search(vectors[:1], 21_000)
    assert len(np.unique(rows)) == 21_000
    assert (rows >= 0).all()


def test_threads_searching_at_once_agree_with_one(large: tuple[Vectors, BuiltIndex]) -> None:
    vectors, built = large
    index = FaissIndex(built.stored, vectors, built.ef_search)
    alone = [index.search(vectors[row : row + 1], 10)[0] for row in range(64)]
    with ThreadPoolExecutor(4) as pool:
        together = list(
            pool.map(lambda row: index.search(vectors[row : row + 1], 10)[0], range(64))
        )
    np.testing.assert_array_equal(alone, together)


@pytest.mark.parametrize("exact_items", [0, 1000])
def test_index_file_is_mapped_not_read(
    make_vectors: MakeVectors, tmp_path: Path, exact_items: int
) -> None:
    write_vectors(make_vectors(600, 16), tmp_path / "vectors.npy")
    vectors = open_vectors(tmp_path / "vectors.npy", 600, 16)
    built = build_faiss(vectors, seed=1, exact_items=exact_items)
    path = save(built.stored, tmp_path)
    index = FaissIndex.open(path, vectors, factory=built.factory, ef_search=built.ef_search)
    mapped = Path("/proc/self/maps").read_text(encoding="utf-8")
    assert str(path) in mapped
    assert str(tmp_path / "vectors.npy") in mapped
    rows, _ = index.search(vectors[5:6], 3)
    np.testing.assert_array_equal(rows, ExactIndex(vectors).search(vectors[5:6], 3)[0])


def test_exact_scores_equal_the_gathered_product(make_vectors: MakeVectors) -> None:
    vectors = make_vectors(50, 7)
    rows = np.array([3, 11, 49])
    expected = vectors[rows] @ vectors[0]
    np.testing.assert_allclose(exact_scores(vectors, rows, vectors[0]), expected, rtol=1e-5)


def refused(path: Path, vectors: Vectors, factory: Factory = "Flat") -> str:
    effort = None if factory == "Flat" else EFFORT
    with pytest.raises(CorruptArtifact) as refusal:
        FaissIndex.open(path, vectors, factory=factory, ef_search=effort)
    return str(refusal.value)


@pytest.mark.parametrize("kind", ["IVF1,Flat", "HNSW32,Flat", "SQ8"])
def test_types_we_do_not_build_are_not_opened(
    make_vectors: MakeVectors, tmp_path: Path, kind: str
) -> None:
    vectors = make_vectors(400, 8)
    index = faiss.index_factory(8, kind, faiss.METRIC_INNER_PRODUCT)
    index.train(vectors)
    index.add(vectors)
    path = save(index, tmp_path)
    assert "not a FAISS index of type" in refused(path, vectors)
    assert "not a FAISS index of type" in refused(path, vectors, "HNSW32,SQ8")


def test_index_of_another_metric_is_refused(make_vectors: MakeVectors, tmp_path: Path) -> None:
    vectors = make_vectors(40, 8)
    index = faiss.index_factory(8, "HNSW32,SQ8", faiss.METRIC_L2)
    index.train(vectors)
    index.add(vectors)
    assert "inner products" in refused(save(index, tmp_path), vectors, "HNSW32,SQ8")


def test_index_of_other_vectors_is_refused(make_vectors: MakeVectors, tmp_path: Path) -> None:
    vectors = make_vectors(40, 8)
    path = save(build_faiss(vectors, seed=1).stored, tmp_path)
    assert "expected (39, 8)" in refused(path, vectors[:39])
    assert "expected (40, 7)" in refused(path, vectors[:, :7])


@pytest.mark.parametrize("factory", ["Flat", "HNSW32,SQ8"])
@pytest.mark.parametrize("keep", [0, 10, 37, 200, -1])
def test_cut_off_file_is_refused(
    make_vectors: MakeVectors, tmp_path: Path, factory: Factory, keep: int
) -> None:
    vectors = make_vectors(40, 8)
    built = build_faiss(vectors, seed=1, exact_items=100 if factory == "Flat" else 0)
    path = save(built.stored, tmp_path)
    path.write_bytes(path.read_bytes()[:keep])
    assert "index.faiss" in refused(path, vectors, factory)
