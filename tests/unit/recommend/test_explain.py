"""Shares of an explanation are what each seed adds to the score."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.recommend.liking import shapley_of_best, shares
from service.recommend.wishes import Wish
from service.types import ItemId, Vectors

VALUES = st.lists(st.floats(0, 1, width=32), min_size=1, max_size=5)


def by_definition(values: list[float]) -> list[float]:
    """What each adds to the largest so far, averaged over all orders of coming."""
    added = [0.0] * len(values)
    orders = list(itertools.permutations(range(len(values))))
    for order in orders:
        best = 0.0
        for each in order:
            added[each] += max(best, values[each]) - best
            best = max(best, values[each])
    return [each / len(orders) for each in added]


@given(VALUES)
def test_parts_of_the_best_are_shapley_values(values: list[float]) -> None:
    found = shapley_of_best(np.array([values], np.float32))[0]
    assert found == pytest.approx(by_definition(values), abs=1e-6)
    assert found.sum() == pytest.approx(max(values), abs=1e-6)


def wish(*parts: list[float], is_linear: bool) -> Wish:
    vectors: Vectors = np.array(parts, np.float32)
    weights = np.full(len(parts), 1 / len(parts), np.float32)
    ids = tuple(ItemId(f"s{number}") for number in range(len(parts)))
    return Wish(vectors, weights, ids, vectors[:0], weights[:0], vectors, is_linear)


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        # Where the nearest decides, a seed that is far away is no reason.
        ([0.95, 0.05], {"s0": 0.97}),
        # Two that are equally near are equally good reasons.
        ([0.7, 0.7], {"s0": 0.5, "s1": 0.5}),
        ([0.0, 0.9], {"s1": 1.0}),
    ],
)
def test_where_the_nearest_decides_it_has_the_share(
    item: list[float], expected: dict[str, float]
) -> None:
    found = shares(wish([1, 0], [0, 1], is_linear=False), np.array([item], np.float32))[0]
    assert {str(each.id): each.share for each in found} == pytest.approx(expected, abs=0.005)


def test_where_scores_add_up_shares_are_in_proportion() -> None:
    found = shares(wish([1, 0], [0, 1], is_linear=True), np.array([[0.9, 0.1]], np.float32))[0]
    assert [(each.id, each.share) for each in found] == [("s0", 0.9), ("s1", 0.1)]
