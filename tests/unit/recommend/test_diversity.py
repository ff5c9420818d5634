import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.recommend.diversity import mmr
from service.types import Scores, Vectors


def unit_rows(n: int, dim: int, seed: int) -> Vectors:
    rows: Vectors = np.random.default_rng(seed).standard_normal((n, dim)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows


def naive_mmr(candidates: Vectors, relevance: Scores, k: int, lambda_: float) -> list[int]:
    spread = relevance.max() - relevance.min()
    scaled = (relevance - relevance.min()) / spread if spread else np.ones_like(relevance)
    chosen: list[int] = []
    while len(chosen) < min(k, len(candidates)):
        best, best_value = -1, -np.inf
        for i in range(len(candidates)):
            if i in chosen:
                continue
            near = max((float(candidates[i] @ candidates[j]) for j in chosen), default=0.0)
            value = lambda_ * scaled[i] - (1 - lambda_) * near
            if value > best_value + 1e-6:
                best, best_value = i, value
        chosen.append(best)
    return chosen


@settings(deadline=None, max_examples=60)
@given(
    n=st.integers(1, 20),
    k=st.integers(1, 25),
    lambda_=st.sampled_from([0.0, 0.3, 0.5, 0.9, 1.0]),
    seed=st.integers(0, 10_000),
)
def test_mmr_makes_the_same_choices_as_its_textbook_form(
    n: int, k: int, lambda_: float, seed: int
) -> None:
    candidates = unit_rows(n, 6, seed)
    relevance = np.random.default_rng(seed + 1).random(n).astype(np.float32)
    chosen = mmr(candidates, relevance, k, lambda_)
    assert chosen.tolist() == naive_mmr(candidates, relevance, k, lambda_)


def test_mmr_without_diversity_keeps_the_order_of_relevance() -> None:
    relevance = np.array([0.2, 0.9, 0.5], dtype=np.float32)
    assert mmr(unit_rows(3, 4, 0), relevance, 3, 1.0).tolist() == [1, 2, 0]


def test_mmr_skips_a_copy_of_what_it_has_chosen() -> None:
    candidates = np.array([[1, 0], [1, 0], [0, 1]], dtype=np.float32)
    relevance = np.array([1.0, 0.99, 0.5], dtype=np.float32)
    assert mmr(candidates, relevance, 2, 0.5).tolist() == [0, 2]


def test_mmr_compares_by_angle_whatever_the_norms() -> None:
    candidates = np.array([[9, 0], [0.1, 0], [0, 1]], dtype=np.float32)
    relevance = np.array([1.0, 0.9, 0.5], dtype=np.float32)
    assert mmr(candidates, relevance, 2, 0.5).tolist() == [0, 2]


@pytest.mark.parametrize("lambda_", [-0.1, 1.1, float("nan")])
def test_mmr_refuses_a_trade_off_outside_zero_to_one(lambda_: float) -> None:
    with pytest.raises(ValueError, match="lambda_"):
        mmr(unit_rows(2, 2, 0), np.ones(2, dtype=np.float32), 1, lambda_)
