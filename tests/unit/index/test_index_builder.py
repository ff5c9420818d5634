from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from service.errors import CorruptArtifact
from service.index.exact_index import ExactIndex
from service.index.faiss_file import StoredIndex
from service.index.faiss_index import FaissIndex
from service.index.index_builder import Plan, axes_for, build_stored, main_axes
from service.index.manifest import EfSearch
from service.types import Vectors

MakeVectors = Callable[..., Vectors]
PLANS = (
    Plan("HNSW16,SQ8", 60),
    Plan("HNSW16,SQfp16", 60),
    Plan("HNSW16,SQ4", 60),
    Plan("PCA16,HNSW16,SQ8", 60),
    Plan("IVF32,SQ8"),
    Plan("PCA16,IVF32,SQ8"),
    Plan("IVF32,PQ12x4fs"),
    Plan("IVF32,RaBitQfs"),
)
THOROUGH = EfSearch(at_10=400, at_100=800, spare_at_10=400, spare_at_100=400)


@pytest.mark.parametrize("plan", PLANS, ids=lambda plan: plan.factory)
def test_every_type_finds_neighbours_after_a_journey_over_the_disk(
    make_vectors: MakeVectors, tmp_path: Path, plan: Plan
) -> None:
    vectors = make_vectors(6000, 24, clusters=60)
    build_stored(vectors, plan, seed=1).write(tmp_path / "index.faiss")
    index = FaissIndex.open(
        tmp_path / "index.faiss", vectors, factory=plan.factory, ef_search=THOROUGH
    )
    queries = vectors[::600]
    allowed = np.random.default_rng(1).random(6000) < 0.9
    for mask in (None, allowed):
        rows, scores = index.search(queries, 10, mask)
        true_rows, true_scores = ExactIndex(vectors).search(queries, 10, mask)
        shared = [len(np.intersect1d(a, b)) for a, b in zip(rows, true_rows, strict=True)]
        assert sum(shared) >= 95
        np.testing.assert_allclose(scores[:, 0], true_scores[:, 0], rtol=1e-4)
        assert mask is None or mask[rows].all()


@pytest.mark.parametrize("plan", PLANS[::3], ids=lambda plan: plan.factory)
def test_same_seed_gives_the_same_files(
    make_vectors: MakeVectors, tmp_path: Path, plan: Plan
) -> None:
    vectors = make_vectors(3000, 24)
    contents = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        build_stored(vectors, plan, seed=4).write(tmp_path / name / "index.faiss")
        contents.append({f.name: f.read_bytes() for f in (tmp_path / name).iterdir()})
    assert contents[0] == contents[1]


def test_near_rows_lie_together(make_vectors: MakeVectors) -> None:
    vectors = make_vectors(5000, 16, clusters=25)
    stored = build_stored(vectors, Plan("HNSW8,SQ8", 20), seed=1)
    assert stored.rows is not None
    assert sorted(stored.rows.tolist()) == list(range(5000))
    placed = vectors[stored.rows]
    side_by_side = np.linalg.norm(np.diff(placed, axis=0), axis=1).mean()
    assert side_by_side < 0.6 * np.linalg.norm(np.diff(vectors, axis=0), axis=1).mean()


def test_main_axes_keep_inner_products_better_than_any_others(make_vectors: MakeVectors) -> None:
    vectors = make_vectors(500, 12) @ np.diag(np.linspace(2, 0.1, 12)).astype(np.float32)
    axes = main_axes(vectors, 6)
    np.testing.assert_allclose(axes @ axes.T, np.eye(6), atol=1e-5)
    kept, exact = vectors @ axes.T, vectors @ vectors.T
    lost = np.square(exact - kept @ kept.T).sum()
    first = np.square(exact - vectors[:, :6] @ vectors[:, :6].T).sum()
    assert lost < first


def test_axes_for_hold_the_share_that_was_asked_for() -> None:
    vectors = np.random.default_rng(1).standard_normal((2000, 256)).astype(np.float32)
    vectors[:, 40:] *= 0.01
    assert axes_for(vectors, 0.93, seed=1) == 64
    assert axes_for(vectors[:, :20].copy(), 0.93, seed=1) == 20


@pytest.mark.parametrize(
    ("name", "array", "complaint"),
    [
        ("rows", np.zeros(900, np.int32), "does not name each"),
        ("rows", np.arange(899, dtype=np.int32), "does not name each"),
        ("rows", np.arange(900, dtype=np.int32) - 1, "does not name each"),
        ("rows", np.arange(900, dtype=np.int64), "expected int32"),
        ("axes", np.zeros((4, 9), np.float32), "not of 8 dimensions"),
        ("axes", np.zeros((8, 8), np.float32), "expected"),
        ("axes", None, "PCA needs it"),
    ],
)
def test_files_that_do_not_fit_are_refused(
    make_vectors: MakeVectors,
    tmp_path: Path,
    name: str,
    array: np.ndarray | None,
    complaint: str,
) -> None:
    vectors = make_vectors(900, 8)
    plan = Plan("PCA4,HNSW8,SQ8", 20)
    path = tmp_path / "index.faiss"
    build_stored(vectors, plan, seed=1).write(path)
    changed = tmp_path / f"index.{name}.npy"
    changed.unlink()
    if array is not None:
        np.save(changed, array)
    with pytest.raises(CorruptArtifact, match=complaint):
        StoredIndex.open(path, vectors, plan.factory)
