"""Lists that are not ten times the same thing."""

from collections.abc import Iterator

import numpy as np

from service.types import Rows, Scores, Vectors


def varied(candidates: Vectors, relevance: Scores, diversity: float) -> Iterator[int]:
    """Order candidates."""
    yield from mmr(candidates, relevance, len(candidates), 1.0 - diversity).tolist()


def mmr(candidates: Vectors, relevance: Scores, k: int, lambda_: float) -> Rows:
    """Choose k candidates, trading relevance against similarity to those already chosen.

    Relevance is scaled to [0, 1] within the candidates first: a text is less similar to any item
    than items are to each other, and unscaled its list would be ruled by the second term alone.

    Args:
        candidates: float32 (n, dim); rows of any norm, compared by cosine.
        relevance: float32 (n,), higher is better.
        k: how many to choose; all of them if k >= n.
        lambda_: 1.0 is pure relevance, 0.0 pure diversity.

    Returns:
        int64 (min(k, n),) rows of `candidates`, in order of choice.

    Raises:
        ValueError: lambda_ outside [0, 1].

    Source: Carbonell and Goldstein, SIGIR 1998.
    """
    if not 0.0 <= lambda_ <= 1.0:
        raise ValueError(f"lambda_ must be in [0, 1], got {lambda_}")
    count = min(k, len(candidates))
    norms = np.linalg.norm(candidates, axis=1, keepdims=True)
    units = candidates / np.where(norms > 0, norms, 1.0)
    spread = float(np.ptp(relevance)) if count else 0.0
    gain = lambda_ * ((relevance - relevance.min()) / spread if spread else np.ones_like(relevance))
    closest = np.full(len(candidates), -1.0, dtype=np.float32)
    chosen = np.empty(count, dtype=np.int64)
    open_ = np.ones(len(candidates), dtype=np.bool_)
    for position in range(count):
        # Nothing is chosen yet at first, so relevance alone decides.
        penalty = (1.0 - lambda_) * closest if position else 0.0
        best = int(np.argmax(np.where(open_, gain - penalty, -np.inf)))
        chosen[position] = best
        open_[best] = False
        closest = np.maximum(closest, units @ units[best])
    return chosen
