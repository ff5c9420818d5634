"""The contract of every retriever, checked against inner products written out in full."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from service.index.exact_index import ExactIndex
from service.index.faiss_index import FaissIndex
from service.index.retriever import Neighbours, Retriever
from service.index.tuning import build_faiss
from service.types import Mask, Vectors

OpenIndex: TypeAlias = Callable[[Vectors], Retriever]


@pytest.fixture(params=["exact", "flat", "hnsw"])
def open_index(request: pytest.FixtureRequest, tmp_path: Path) -> OpenIndex:
    """Every implementation, the FAISS ones written to disk and opened as a service opens them."""

    def through_disk(vectors: Vectors, exact_items: int) -> Retriever:
        built = build_faiss(vectors, seed=1, exact_items=exact_items)
        for left in tmp_path.glob("index.*"):
            left.unlink()
        path = tmp_path / "index.faiss"
        built.stored.write(path)
        return FaissIndex.open(path, vectors, factory=built.factory, ef_search=built.ef_search)

    openers: dict[str, OpenIndex] = {
        "exact": ExactIndex,
        "flat": lambda vectors: through_disk(vectors, len(vectors)),
        "hnsw": lambda vectors: through_disk(vectors, 0),
    }
    return openers[request.param]


def assert_right(
    found: Neighbours, vectors: Vectors, queries: Vectors, k: int, allowed: Mask | None
) -> None:
    """Compare with a full sort in float64; rows of equal score may stand in for each other."""
    rows, scores = found
    assert rows.shape == scores.shape == (len(queries), k)
    assert rows.dtype == np.int64
    assert scores.dtype == np.float32
    truth = queries.astype(np.float64) @ vectors.T.astype(np.float64)
    if allowed is not None:
        truth[:, ~allowed] = -np.inf
    count = min(k, len(vectors) if allowed is None else int(allowed.sum()))
    for line, exact in enumerate(truth):
        listed = rows[line, :count]
        assert len(set(listed.tolist())) == count
        assert allowed is None or allowed[listed].all()
        assert (rows[line, count:] == -1).all()
        assert (scores[line, count:] == -np.inf).all()
        assert (np.diff(scores[line, :count]) <= 0).all()
        best = np.sort(exact)[::-1][:count]
        np.testing.assert_allclose(scores[line, :count], best, rtol=1e-4, atol=1e-3)
        np.testing.assert_allclose(exact[listed], best, rtol=1e-4, atol=1e-3)


values = st.floats(-10, 10, width=32)


@st.composite
def searches(draw: st.DrawFn) -> tuple[Vectors, Vectors, int, Mask | None]:
    items, dim = draw(st.integers(1, 40)), draw(st.integers(1, 6))
    vectors = draw(arrays.arrays(np.float32, (items, dim), elements=values))
    queries = draw(arrays.arrays(np.float32, (draw(st.integers(0, 3)), dim), elements=values))
    mask = arrays.arrays(np.bool_, items)
    return vectors, queries, draw(st.integers(1, 50)), draw(st.none() | mask)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(searches())
def test_search_equals_a_full_sort(
    open_index: OpenIndex, search: tuple[Vectors, Vectors, int, Mask | None]
) -> None:
    vectors, queries, k, allowed = search
    found = open_index(vectors).search(queries, k, allowed)
    assert_right(found, vectors, queries, k, allowed)


def test_knows_its_shape(open_index: OpenIndex, make_vectors: Callable[..., Vectors]) -> None:
    index = open_index(make_vectors(12, 5))
    assert (index.size, index.dim) == (12, 5)


def test_scores_of_unequal_norms_are_inner_products(open_index: OpenIndex) -> None:
    vectors = np.array([[1, 0], [0, 1], [5, 5]], dtype=np.float32)
    rows, scores = open_index(vectors).search(np.array([[1, 0]], dtype=np.float32), 3)
    assert rows.tolist() == [[2, 0, 1]]
    assert scores.tolist() == [[5, 1, 0]]


def test_equal_items_come_in_row_order(open_index: OpenIndex) -> None:
    vectors = np.ones((6, 3), dtype=np.float32)
    rows, _ = open_index(vectors).search(vectors[:1], 6)
    assert rows.tolist() == [[0, 1, 2, 3, 4, 5]]


def test_thousand_duplicates_are_never_a_short_list(open_index: OpenIndex) -> None:
    vectors = np.ones((1000, 4), dtype=np.float32)
    rows, _ = open_index(vectors).search(vectors[:1], 600)
    assert len(set(rows[0].tolist()) - {-1}) == 600


def test_nothing_allowed_gives_only_padding(
    open_index: OpenIndex, make_vectors: Callable[..., Vectors]
) -> None:
    vectors = make_vectors(10, 4)
    rows, scores = open_index(vectors).search(vectors[:2], 3, np.zeros(10, dtype=np.bool_))
    assert (rows == -1).all()
    assert (scores == -np.inf).all()


@pytest.mark.parametrize(
    ("queries", "k", "allowed"),
    [
        (np.zeros((1, 3), np.float32), 1, None),
        (np.zeros(4, np.float32), 1, None),
        (np.zeros((1, 4), np.float32), 0, None),
        (np.full((1, 4), np.nan, np.float32), 1, None),
        (np.full((1, 4), np.inf, np.float32), 1, None),
        (np.zeros((1, 4), np.float32), 1, np.ones(9, np.bool_)),
        (np.zeros((1, 4), np.float32), 1, np.ones(10, np.int64)),
    ],
    ids=["dim", "one row", "k", "NaN", "infinite", "mask length", "mask type"],
)
def test_impossible_searches_are_refused(
    open_index: OpenIndex,
    make_vectors: Callable[..., Vectors],
    queries: Vectors,
    k: int,
    allowed: Mask | None,
) -> None:
    index = open_index(make_vectors(10, 4))
    with pytest.raises(ValueError, match="must be"):
        index.search(queries, k, allowed)
