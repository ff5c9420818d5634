"""The other two ways to a diverse list, as their papers have them, to choose between."""

from itertools import islice

import numpy as np
from numpy.typing import NDArray

from service.recommend.diversity import varied
from service.types import Scores, Vectors

_TINY = 1e-9


def mmr(candidates: Vectors, relevance: Scores, k: int, lambda_: float) -> list[int]:
    """Maximal marginal relevance: Carbonell and Goldstein, SIGIR 1998."""
    closest = np.zeros(len(candidates), np.float32)
    gain = lambda_ * relevance
    chosen: list[int] = []
    for _ in range(k):
        best = int((gain - (1 - lambda_) * closest).argmax())
        chosen.append(best)
        gain[best] = -np.inf
        closest = np.maximum(closest, candidates @ candidates[best])
    return chosen


def dpp(candidates: Vectors, relevance: Scores, k: int, theta: float) -> list[int]:
    """Fast greedy MAP of a determinantal point process: Chen et al., NeurIPS 2018."""
    alpha = theta / (2 * (1 - theta))
    gain = 2 * alpha * relevance.astype(np.float64)
    products = (candidates @ candidates.T).astype(np.float64)
    left = products.diagonal().copy()
    parts: NDArray[np.float64] = np.zeros((0, len(candidates)))
    chosen: list[int] = []
    for _ in range(k):
        best = int((gain + np.log(np.maximum(left, _TINY))).argmax())
        chosen.append(best)
        gain[best] = -np.inf
        along = parts[:, best] @ parts
        part = (products[best] - along) / np.sqrt(max(left[best], _TINY))
        parts = np.vstack([parts, part])
        left = left - part**2
    return chosen


def ours(candidates: Vectors, relevance: Scores, k: int, diversity: float) -> list[int]:
    """Sliding spectrum decomposition, as it is served."""
    return list(islice(varied(candidates, relevance, diversity), k))
