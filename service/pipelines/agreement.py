"""How far two sets of vectors of the same texts agree: by angle, by neighbours, by ranking."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from service.types import Scores, Vectors

NEIGHBOURS = 10
_BLOCK = 512
_RESAMPLES = 1000
_INTERVAL = (2.5, 97.5)


def cosines(left: Vectors, right: Vectors) -> Scores:
    """Compare row by row; returns float32 (n,). A zero or NaN row gives NaN."""
    norms = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        compared: Scores = np.einsum("ij,ij->i", left, right) / norms
    return compared


def shared_neighbours(left: Vectors, right: Vectors, k: int = NEIGHBOURS) -> NDArray[np.float64]:
    """For each text, the share of its k nearest other texts on which both sides agree.

    Args:
        left: float32 (n, dim), unit rows.
        right: float32 (n, other dim), unit rows of the same n texts.
        k: how many neighbours; all other texts where there are fewer.

    Returns:
        float64 (n,), 0 to 1; its mean is the overlap@k.
    """
    k = min(k, len(left) - 1)
    if k < 1:
        return np.ones(len(left))
    shares = np.empty(len(left))
    for start in range(0, len(left), _BLOCK):
        ours = _nearest_others(left, start, k)
        theirs = _nearest_others(right, start, k)
        same = (ours[:, :, None] == theirs[:, None, :]).any(axis=2)
        shares[start : start + len(ours)] = same.mean(axis=1)
    return shares


def similarity_loss(left: Vectors, right: Vectors, k: int = NEIGHBOURS) -> NDArray[np.float64]:
    """For each text, what its k nearest by `right` lack in similarity, as `left` sees it.

    Where many texts are about equally near, two good encoders choose different ones; then the
    overlap is low and this loss is too. Returns float64 (n,), relative to the best k.
    """
    k = min(k, len(left) - 1)
    if k < 1:
        return np.zeros(len(left))
    losses = np.empty(len(left))
    for start in range(0, len(left), _BLOCK):
        scores = _scores_of_others(left, start).astype(np.float64)
        best = np.take_along_axis(scores, _nearest_others(left, start, k), axis=1).sum(axis=1)
        chosen = np.take_along_axis(scores, _nearest_others(right, start, k), axis=1).sum(axis=1)
        losses[start : start + len(best)] = (best - chosen) / np.maximum(np.abs(best), 1e-12)
    return losses


def _nearest_others(vectors: Vectors, start: int, k: int) -> NDArray[np.int64]:
    scores = _scores_of_others(vectors, start)
    nearest: NDArray[np.int64] = np.argpartition(-scores, k - 1, axis=1)[:, :k]
    return nearest


def _scores_of_others(vectors: Vectors, start: int) -> Vectors:
    scores = vectors[start : start + _BLOCK] @ vectors.T
    rows = np.arange(len(scores))
    scores[rows, start + rows] = -np.inf
    return np.asarray(scores, dtype=np.float32)


def ndcg(
    queries: Vectors, items: Vectors, relevant: Sequence[frozenset[int]], k: int = NEIGHBOURS
) -> NDArray[np.float64]:
    """Normalised discounted gain of each query over all items, relevance being yes or no.

    Args:
        queries: float32 (q, dim), unit rows.
        items: float32 (n, dim), unit rows.
        relevant: for each query the rows of its relevant items, at least one.
        k: depth of the ranking.

    Returns:
        float64 (q,), 0 to 1.

    Source: Järvelin and Kekäläinen, TOIS 2002.
    """
    k = min(k, len(items))
    discounts = 1.0 / np.log2(np.arange(2, k + 2))
    gains = np.empty(len(queries))
    for start in range(0, len(queries), _BLOCK):
        scores = queries[start : start + _BLOCK] @ items.T
        ranked = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        for row, found in enumerate(ranked, start=start):
            hits = np.fromiter((int(item) in relevant[row] for item in found), bool, k)
            gains[row] = discounts[hits].sum() / discounts[: len(relevant[row])].sum()
    return gains


def relative_loss(
    reference: NDArray[np.float64], candidate: NDArray[np.float64], seed: int
) -> tuple[float, float, float]:
    """Say what share of the reference's mean the candidate loses, with its 95 % interval.

    Args:
        reference: float64 (q,), a figure of merit for each query.
        candidate: float64 (q,), the same queries.
        seed: of the paired bootstrap over queries.

    Returns:
        Loss, its lower and its upper bound; negative where the candidate gains.
    """
    rng = np.random.default_rng(seed)
    draws = rng.integers(0, len(reference), (_RESAMPLES, len(reference)))
    losses = 1.0 - candidate[draws].mean(axis=1) / np.maximum(reference[draws].mean(axis=1), 1e-12)
    low, high = np.percentile(losses, _INTERVAL)
    loss = 1.0 - float(candidate.mean()) / max(float(reference.mean()), 1e-12)
    return loss, float(low), float(high)
