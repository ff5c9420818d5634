from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.recommend.diversity import WINDOW, varied
from service.types import Vectors


def unit_rows(n: int, dim: int, seed: int) -> Vectors:
    rows: Vectors = np.random.default_rng(seed).standard_normal((n, dim)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows


def textbook(candidates: Vectors, chosen: list[int], place: int) -> float:
    """What is left of a vector that the chosen ones cannot make up, by least squares."""
    rest = candidates[place].astype(np.float64)
    if chosen:
        others = candidates[chosen].T.astype(np.float64)
        rest = rest - others @ np.linalg.lstsq(others, rest, rcond=None)[0]
    return float(np.linalg.norm(rest))


@settings(deadline=None, max_examples=60)
@given(
    n=st.integers(1, WINDOW),
    diversity=st.sampled_from([0.0, 0.3, 0.5, 0.9, 1.0]),
    seed=st.integers(0, 10_000),
)
def test_every_choice_is_the_best_by_its_textbook_form(n: int, diversity: float, seed: int) -> None:
    candidates = unit_rows(n, 24, seed)
    relevance = np.random.default_rng(seed + 1).random(n).astype(np.float32)
    chosen: list[int] = []
    for pick in varied(candidates, relevance, diversity):
        values = {
            place: (1 - diversity) * relevance[place]
            + diversity / 2 * textbook(candidates, chosen, place)
            for place in range(n)
            if place not in chosen
        }
        assert values[pick] >= max(values.values()) - 1e-5
        chosen.append(pick)


@settings(deadline=None, max_examples=40)
@given(n=st.integers(0, 60), diversity=st.floats(0, 1), seed=st.integers(0, 10_000))
def test_every_candidate_comes_once(n: int, diversity: float, seed: int) -> None:
    relevance = np.random.default_rng(seed + 1).random(n).astype(np.float32)
    chosen = list(varied(unit_rows(n, 3, seed), relevance, diversity))
    assert sorted(chosen) == list(range(n))


def test_without_diversity_the_order_of_relevance_stays() -> None:
    relevance = np.array([0.2, 0.9, 0.5], dtype=np.float32)
    assert list(varied(unit_rows(3, 4, 0), relevance, 0.0)) == [1, 2, 0]


def test_a_copy_of_what_was_chosen_comes_last() -> None:
    candidates = np.array([[1, 0], [1, 0], [0, 1]], dtype=np.float32)
    relevance = np.array([1.0, 0.99, 0.8], dtype=np.float32)
    assert list(varied(candidates, relevance, 0.5)) == [0, 2, 1]


def test_it_compares_by_angle_whatever_the_norms() -> None:
    candidates = np.array([[9, 0], [0.1, 0], [0, 1]], dtype=np.float32)
    relevance = np.array([1.0, 0.9, 0.8], dtype=np.float32)
    assert list(varied(candidates, relevance, 0.5)) == [0, 2, 1]


def test_what_an_earlier_page_showed_counts_as_chosen() -> None:
    candidates = np.array([[1, 0], [0, 1]], dtype=np.float32)
    relevance = np.array([0.6, 0.5], dtype=np.float32)
    before = np.array([[2, 0]], dtype=np.float32)
    assert list(varied(candidates, relevance, 0.5)) == [0, 1]
    assert list(varied(candidates, relevance, 0.5, before)) == [1, 0]


def test_what_lies_further_back_than_the_window_is_forgotten() -> None:
    others = np.eye(WINDOW + 2, dtype=np.float32)
    again = others[:1]
    relevance = np.array([9.0] + [5.0] * (WINDOW + 1) + [0.0], dtype=np.float32)
    order = list(varied(np.concatenate([others, again]), relevance, 0.5))
    assert order[0] == 0
    assert order[-1] == WINDOW + 2
    first = list(islice(varied(others, relevance[:-1], 1.0, others), 2))
    # The first two have left the window, so nothing is as new as they are.
    assert set(first) == {0, 1}


@pytest.mark.parametrize("diversity", [-0.1, 1.1, float("nan")])
def test_it_refuses_a_trade_off_outside_zero_to_one(diversity: float) -> None:
    with pytest.raises(ValueError, match="diversity"):
        list(varied(unit_rows(2, 2, 0), np.ones(2, dtype=np.float32), diversity))
