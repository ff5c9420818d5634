import numpy as np
import pytest

from service.pipelines.agreement import (
    cosines,
    ndcg,
    relative_loss,
    shared_neighbours,
    similarity_loss,
)
from service.types import Vectors


def _unit(rows: list[list[float]]) -> Vectors:
    vectors = np.asarray(rows, dtype=np.float32)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def _random(n: int, seed: int) -> Vectors:
    return _unit(np.random.default_rng(seed).standard_normal((n, 16)).tolist())


def test_cosine_is_that_of_the_rows_and_not_of_their_lengths() -> None:
    left = np.asarray([[1, 0], [3, 0], [1, 1]], dtype=np.float32)
    right = np.asarray([[2, 0], [0, 1], [-1, -1]], dtype=np.float32)
    np.testing.assert_allclose(cosines(left, right), [1, 0, -1], atol=1e-6)


def test_a_zero_row_or_a_nan_is_no_agreement() -> None:
    left = np.asarray([[0, 0], [np.nan, 1]], dtype=np.float32)
    assert np.isnan(cosines(left, np.ones((2, 2), dtype=np.float32))).all()


def test_a_rotated_space_has_the_same_neighbours() -> None:
    vectors = _random(700, seed=1)
    rotation, _ = np.linalg.qr(np.random.default_rng(2).standard_normal((16, 16)))
    shares = shared_neighbours(vectors, np.asarray(vectors @ rotation, dtype=np.float32))
    assert shares.mean() > 0.999


def test_shared_neighbours_equal_a_count_by_hand() -> None:
    left, right = _random(60, seed=3), _random(60, seed=4)
    expected = []
    for row in range(60):
        near = [
            set([int(i) for i in np.argsort(-(vectors @ vectors[row])) if i != row][:10])
            for vectors in (left, right)
        ]
        expected.append(len(near[0] & near[1]) / 10)
    np.testing.assert_allclose(shared_neighbours(left, right), expected)


@pytest.mark.parametrize("n", [1, 2, 5])
def test_fewer_texts_than_neighbours_all_agree(n: int) -> None:
    assert shared_neighbours(_random(n, seed=5), _random(n, seed=6)).tolist() == [1.0] * n


def test_other_neighbours_that_are_as_near_lose_nothing() -> None:
    """Fifteen texts around one: each side may choose its ten, and loses almost nothing."""
    rng = np.random.default_rng(9)
    crowd = _unit((np.eye(1, 16) + 1e-3 * rng.standard_normal((15, 16))).tolist())
    shaken = _unit((crowd + 1e-2 * rng.standard_normal(crowd.shape)).tolist())
    assert shared_neighbours(crowd, shaken).mean() < 0.95
    assert 0 <= similarity_loss(crowd, shaken).mean() < 1e-3


def test_far_neighbours_lose_what_they_are_farther() -> None:
    items = _unit([[1, 0], [1, 0], [0.6, 0.8]])
    swapped = _unit([[1, 0], [0.6, 0.8], [1, 0]])
    assert similarity_loss(items, swapped, k=1)[0] == pytest.approx(0.4)
    np.testing.assert_allclose(similarity_loss(items, items, k=1), 0.0)


def test_ndcg_of_known_rankings() -> None:
    items = _unit([[1, 0], [0.9, 0.1], [0, 1]])
    queries = _unit([[1, 0], [1, 0], [0, 1]])
    relevant = [frozenset({0}), frozenset({1}), frozenset({0, 2})]
    second = 1 / np.log2(3)
    third = 1 / np.log2(4)
    expected = [1.0, second, (1 + third) / (1 + second)]
    np.testing.assert_allclose(ndcg(queries, items, relevant), expected)


def test_more_relevant_items_than_places_still_reach_one() -> None:
    items = _random(40, seed=7)
    gains = ndcg(items[:1], items, [frozenset(range(40))])
    np.testing.assert_allclose(gains, [1.0])


def test_the_loss_is_relative_and_inside_its_interval() -> None:
    rng = np.random.default_rng(8)
    reference = rng.uniform(0.4, 0.8, 500)
    noise = rng.normal(0, 0.01, 500)
    loss, low, high = relative_loss(reference, reference * 0.99 + noise, seed=0)
    assert loss == pytest.approx(0.01, abs=0.003)
    assert low < loss < high
    assert relative_loss(reference, reference, seed=0) == (0.0, 0.0, 0.0)
