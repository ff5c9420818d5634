"""The compiled search: what it finds, under filters too, what it refuses, and life without it."""

import sysconfig
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import faiss
import numpy as np
import pytest

from service.errors import CorruptArtifact
from service.index import code_search
from service.index.exact_index import ExactIndex
from service.index.faiss_file import StoredIndex
from service.index.faiss_index import FaissIndex
from service.index.index_builder import Plan, build_stored
from service.index.manifest import EfSearch
from service.index.native import library
from service.index.recall_queries import RecallQueries
from service.index.search_effort import choose_effort
from service.types import NO_ROW, Mask, Vectors

MakeVectors = Callable[..., Vectors]
PLAN = Plan("PCA16,HNSW16,SQ8", 60)


@pytest.fixture(scope="module", autouse=True)
def _compiled() -> None:
    """Compile where nobody has installed this checkout; a machine without a compiler fails here."""
    if not library.LIBRARY.exists():
        assert library.compile_library() is None
        library.open_library.cache_clear()
    assert library.open_library() is not None


@pytest.fixture(scope="module")
def everything(make_vectors: MakeVectors) -> Vectors:
    """Vectors of unequal lengths that spread less along every further axis, as a model's do."""
    falling = np.linspace(1.6, 0.1, 24, dtype=np.float32)
    return np.ascontiguousarray(make_vectors(12_150, 24, seed=5, clusters=400) * falling)


@pytest.fixture(scope="module")
def vectors(everything: Vectors) -> Vectors:
    return everything[:12_000]


@pytest.fixture(scope="module")
def stored(vectors: Vectors) -> StoredIndex:
    return build_stored(vectors, PLAN, seed=1)


@pytest.fixture(scope="module")
def effort(stored: StoredIndex, vectors: Vectors) -> EfSearch:
    asked = RecallQueries.held_out(vectors, vectors[::150] * np.float32(1.01))
    return choose_effort(stored, asked, (0.99, 0.99), rescored=True)


@pytest.fixture(scope="module")
def queries(everything: Vectors) -> Vectors:
    """Items that are not in the index."""
    return everything[12_000:]


def found_share(
    index: FaissIndex, vectors: Vectors, queries: Vectors, k: int, allowed: Mask | None = None
) -> float:
    """Recall, after a look at everything that has to be right whatever the recall."""
    rows, scores = index.search(queries, k, allowed)
    true, _ = ExactIndex(vectors).search(queries, k, allowed)
    assert ((rows >= 0) == (true >= 0)).all()
    assert all(len(set(line)) == k for line in rows.tolist() if line[-1] >= 0)
    assert allowed is None or allowed[rows[rows >= 0]].all()
    assert (scores[:, 1:] <= scores[:, :-1]).all()
    full = np.einsum("qd,qkd->qk", queries, vectors[rows])
    np.testing.assert_allclose(scores[rows >= 0], full[rows >= 0], rtol=1e-4, atol=1e-4)
    hits = [len(np.intersect1d(a, b[b >= 0])) for a, b in zip(rows, true, strict=True)]
    return float(sum(hits) / (true >= 0).sum())


@pytest.mark.parametrize("k", [1, 10, 100])
def test_walk_finds_neighbours_with_the_scores_of_the_full_vectors(
    stored: StoredIndex, vectors: Vectors, effort: EfSearch, queries: Vectors, k: int
) -> None:
    assert found_share(FaissIndex(stored, vectors, effort), vectors, queries, k) >= 0.95


@pytest.mark.parametrize("k", [1, 10, 100])
@pytest.mark.parametrize("plan", [PLAN, Plan("HNSW16,SQ8", 60)])
def test_walk_from_the_item_itself_finds_as_much(
    vectors: Vectors, effort: EfSearch, plan: Plan, k: int
) -> None:
    index = FaissIndex(build_stored(vectors, plan, seed=1), vectors, effort)
    near = np.arange(0, len(vectors), 80)
    near[::10] = NO_ROW
    queries = vectors[::80]
    true = ExactIndex(vectors).search(queries, k, near=near)[1]
    for begin in (None, near):
        rows, scores = index.search(queries, k, near=begin)
        full = np.einsum("qd,qkd->qk", queries, vectors[rows])
        np.testing.assert_allclose(scores, full, rtol=1e-4, atol=1e-4)
        assert (scores >= true[:, -1:] - 1e-4).mean() >= 0.95
    assert index.search(queries, k, np.ones(len(vectors), np.bool_), near)[0].shape == (150, k)


@pytest.mark.parametrize("share", [0.0005, 0.02, 0.2, 0.4, 0.9])
def test_filter_finds_as_much_as_no_filter(
    stored: StoredIndex, vectors: Vectors, effort: EfSearch, queries: Vectors, share: float
) -> None:
    assert effort.compared_at_10 > 0
    allowed = np.random.default_rng(2).random(len(vectors)) < share
    index = FaissIndex(stored, vectors, effort)
    assert found_share(index, vectors, queries, 10, allowed) >= 0.95
    # Once more with a mask that is remembered.
    allowed.flags.writeable = False
    assert found_share(index, vectors, queries, 10, allowed) >= 0.95


def test_filter_by_kind_finds_as_much_as_one_by_chance(
    stored: StoredIndex, vectors: Vectors, effort: EfSearch, queries: Vectors
) -> None:
    """Half of all neighbourhoods, as a category would be: many a query has its own shut out."""
    kind = ExactIndex(vectors[::40]).search(vectors, 1)[0][:, 0]
    allowed = np.random.default_rng(4).random(len(vectors[::40]))[kind] < 0.5
    index = FaissIndex(stored, vectors, effort)
    assert found_share(index, vectors, queries, 10, allowed) >= 0.9


def test_few_rows_are_exact(
    stored: StoredIndex, vectors: Vectors, effort: EfSearch, queries: Vectors
) -> None:
    allowed = np.zeros(len(vectors), np.bool_)
    allowed[::13] = True
    index = FaissIndex(stored, vectors, effort)
    assert found_share(index, vectors, queries, 10, allowed) == 1.0
    allowed[:] = False
    rows, scores = index.search(queries[:2], 3, allowed)
    assert (rows == -1).all()
    assert (scores == -np.inf).all()


def test_longest_walk_visits_everything(
    stored: StoredIndex, vectors: Vectors, queries: Vectors
) -> None:
    thorough = EfSearch(at_10=12_000, at_100=12_000, spare_at_10=11_990, spare_at_100=11_900)
    assert found_share(FaissIndex(stored, vectors, thorough), vectors, queries[:5], 10) == 1.0


def test_equal_vectors_are_never_a_short_list_and_come_in_row_order(vectors: Vectors) -> None:
    same = np.repeat(vectors[:3], 1_500, axis=0)
    stored = build_stored(same, Plan("HNSW16,SQ8", 40), seed=1)
    index = FaissIndex(stored, same, EfSearch(at_10=20, at_100=120))
    rows, scores = index.search(vectors[:3], 50)
    assert (rows >= 0).all()
    np.testing.assert_array_equal(np.sort(rows, axis=1), rows)
    np.testing.assert_allclose(scores, np.repeat(scores[:, :1], 50, axis=1))


def test_scores_without_the_vectors_are_estimates_from_the_codes(
    vectors: Vectors, queries: Vectors
) -> None:
    stored = build_stored(vectors, Plan("HNSW16,SQ8", 60), seed=1)
    unread = np.full_like(vectors, np.nan)
    lean = EfSearch(at_10=80, at_100=200, spare_at_10=0, rescored=False, compared_at_10=3_000)
    allowed = np.random.default_rng(3).random(len(vectors)) < 0.6
    for mask in (None, allowed):
        rows, scores = FaissIndex(stored, unread, lean).search(queries, 10, mask)
        full = np.einsum("qd,qkd->qk", queries, vectors[rows])
        np.testing.assert_allclose(scores, full, rtol=0.05, atol=0.3)
        assert (np.diff(scores) <= 0).all()
        assert np.corrcoef(scores.ravel(), full.ravel())[0, 1] > 0.999


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("share", [1.0, 0.9, 0.01])
def test_query_that_is_not_finite_is_refused(
    stored: StoredIndex, vectors: Vectors, effort: EfSearch, value: float, share: float
) -> None:
    query = vectors[:1].copy()
    query[0, -1] = value
    allowed = np.random.default_rng(1).random(len(vectors)) < share
    with pytest.raises(ValueError, match="finite"):
        FaissIndex(stored, vectors, effort).search(query, 10, None if share == 1 else allowed)


@pytest.mark.parametrize("scale", [0.0, 1e-30, 1e30])
def test_query_of_any_length_finds_the_same(
    stored: StoredIndex, vectors: Vectors, effort: EfSearch, queries: Vectors, scale: float
) -> None:
    index = FaissIndex(stored, vectors, effort)
    allowed = np.random.default_rng(2).random(len(vectors)) < 0.5
    for mask in (None, allowed):
        rows, scores = index.search(queries[:5] * np.float32(scale), 10, mask)
        assert np.isfinite(scores).all()
        if scale:
            usual = index.search(queries[:5], 10, mask)[0]
            assert (
                np.mean([len(np.intersect1d(a, b)) for a, b in zip(rows, usual, strict=True)]) > 9
            )


@pytest.mark.parametrize("count", [1, 2, 3, 4, 50])
def test_queries_asked_together_find_what_each_finds_alone(
    stored: StoredIndex, vectors: Vectors, effort: EfSearch, count: int
) -> None:
    index = FaissIndex(stored, vectors, effort)
    queries, near = vectors[:count], np.arange(count)
    near[::2] = NO_ROW
    rows, scores = index.search(queries, 21, near=near)
    for line in range(count):
        one = slice(line, line + 1)
        alone_rows, alone_scores = index.search(queries[one], 21, near=near[one])
        np.testing.assert_array_equal(rows[one], alone_rows)
        np.testing.assert_array_equal(scores[one], alone_scores)


def test_one_query_of_many_that_is_not_finite_is_refused(
    stored: StoredIndex, vectors: Vectors, effort: EfSearch
) -> None:
    queries = vectors[:7].copy()
    queries[4, 3] = np.nan
    with pytest.raises(ValueError, match="finite"):
        FaissIndex(stored, vectors, effort).search(queries, 10)


def test_threads_agree_with_one(
    stored: StoredIndex, vectors: Vectors, effort: EfSearch, queries: Vectors
) -> None:
    index = FaissIndex(stored, vectors, effort)
    allowed = np.random.default_rng(2).random(len(vectors)) < 0.5

    def ask(number: int) -> list[list[int]]:
        mask = allowed if number % 2 else None
        rows: list[list[int]] = index.search(queries, 10, mask)[0].tolist()
        return rows

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(ask, range(12)))
    assert all(answer == ask(number) for number, answer in enumerate(answers))


def test_without_the_library_faiss_finds_the_same_neighbours(
    stored: StoredIndex,
    vectors: Vectors,
    effort: EfSearch,
    queries: Vectors,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(code_search, "open_library", lambda: None)
    index = FaissIndex(stored, vectors, effort)
    for share in (1.0, 0.5, 0.05):
        allowed = np.random.default_rng(2).random(len(vectors)) < share
        assert found_share(index, vectors, queries[:40], 10, allowed) >= 0.9


@pytest.mark.parametrize("place", ["ground", "above", "before"])
def test_links_that_lead_nowhere_are_refused(vectors: Vectors, tmp_path: Path, place: str) -> None:
    built = build_stored(vectors[:3_000], PLAN, seed=1)
    graph = built.index.hnsw
    links = faiss.vector_to_array(graph.neighbors)
    levels = faiss.vector_to_array(graph.levels)
    first = int(faiss.vector_to_array(graph.offsets)[levels.argmax()])
    if place == "above":
        # A node of the ground level among the neighbours one level up.
        links[first + graph.nb_neighbors(0)] = levels.argmin()
    else:
        links[first] = 3_000 if place == "ground" else -2
    faiss.copy_array_to_vector(links, graph.neighbors)
    built.write(tmp_path / "index.faiss")
    with pytest.raises(CorruptArtifact, match=r"lead nowhere|cannot be opened"):
        StoredIndex.open(tmp_path / "index.faiss", vectors[:3_000], PLAN.factory)


@pytest.mark.parametrize(
    ("name", "array", "complaint"),
    [
        ("centres", None, "not of 16 numbers"),
        ("centres", np.zeros((30, 15), np.float32), "not of 16 numbers"),
        ("starts", None, "does not divide"),
        ("starts", np.zeros(31, np.int32), "does not divide"),
        ("starts", np.arange(31, dtype=np.int32)[::-1], "does not divide"),
        ("starts", np.zeros(31, np.int64), "expected int32"),
    ],
)
def test_lists_that_do_not_fit_are_refused(
    vectors: Vectors, tmp_path: Path, name: str, array: np.ndarray | None, complaint: str
) -> None:
    build_stored(vectors[:3_000], PLAN, seed=1).write(tmp_path / "index.faiss")
    changed = tmp_path / f"index.{name}.npy"
    changed.unlink()
    if array is not None:
        np.save(changed, np.ascontiguousarray(array))
    with pytest.raises(CorruptArtifact, match=complaint):
        StoredIndex.open(tmp_path / "index.faiss", vectors[:3_000], PLAN.factory)


def test_library_of_other_sources_is_never_called(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "source_digest", lambda: "0" * 64)
    library.open_library.cache_clear()
    try:
        assert library.open_library() is None
    finally:
        library.open_library.cache_clear()


def test_no_compiler_is_said_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CC", "no-such-compiler")
    assert library.compile_library(tmp_path / "lib.so") == "there is no C compiler"
    assert list(tmp_path.iterdir()) == []


def test_compiler_that_fails_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "cc"
    broken.write_text("#!/bin/sh\necho this machine is too old >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    monkeypatch.setenv("CC", str(broken))
    monkeypatch.setattr(sysconfig, "get_config_var", lambda name: None)
    assert library.compile_library(tmp_path / "lib.so") == "this machine is too old"
    assert not (tmp_path / "lib.so").exists()
