"""Lists that are not ten times the same thing."""

from collections.abc import Iterator
from math import sqrt
from typing import Final

import numpy as np

from service.index.native.library import is_compiled
from service.index.native.vary import pick
from service.types import Scores, Vectors

WINDOW: Final = 10
"""Picks that a next one has to differ from: about what a screen shows."""

# Measured, see docs/benchmarks/quality.md: so that the middle of the scale is still a list about
# its subject.
_WEIGHT: Final = 0.5
# Of an item that is all but spanned by others the direction of the rest is rounding.
_LEAST_LEFT: Final = 1e-4


def varied(
    candidates: Vectors,
    scores: Scores,
    diversity: float,
    before: Vectors | None = None,
    *,
    probe: float = 0.0,
    wanted: int = WINDOW,
) -> Iterator[int]:
    """Order candidates, trading relevance against what the last few picks do not cover yet.

    Picks what has the largest (1 - diversity) * relevance + diversity / 2 * rest, where `relevance`
    is the score on the scale of cosines, whatever the lengths of vectors, and `rest` the length of
    what is left of its unit vector outside the span of the last `WINDOW` picks. Each one that is
    taken costs up to n products of vectors.

    Args:
        candidates: float32 (n, dim); rows of any norm, compared by angle.
        scores: float32 (n,), inner products; least work where they fall.
        diversity: 0.0 is pure relevance, 1.0 pure difference.
        before: float32 (m, dim), picks of earlier pages, oldest first.
        probe: length of what the scores are inner products with; 0 where it is as long as a
            candidate is on average.
        wanted: how many are likely to be taken; to go on from there starts from the beginning.

    Yields:
        Each row of `candidates` once.

    Raises:
        ValueError: diversity outside [0, 1].

    Source: sliding spectrum decomposition, Huang et al., KDD 2021 (arXiv 2107.05204).
    """
    if not 0.0 <= diversity <= 1.0:
        raise ValueError(f"diversity must be in [0, 1], got {diversity}")
    earlier = candidates[:0] if before is None else before[-WINDOW:]
    every = np.concatenate([candidates, earlier]) if len(earlier) else candidates
    scores = scores.astype(np.float32, copy=False)
    order = _compiled if is_compiled() else _in_numpy
    return order(every, scores, 1.0 - diversity, probe, diversity * _WEIGHT, wanted)


def _compiled(
    vectors: Vectors, scores: Scores, share: float, probe: float, weight: float, wanted: int
) -> Iterator[int]:
    given = vectors, scores, share, probe, weight, WINDOW
    picks = pick(*given, min(wanted, len(scores)))
    yield from picks.tolist()
    if len(picks) < len(scores):
        picks = pick(*given, len(scores))
        yield from picks[wanted:].tolist()


def _in_numpy(
    vectors: Vectors, scores: Scores, share: float, probe: float, weight: float, _: int
) -> Iterator[int]:
    count = len(scores)
    length = float(np.linalg.norm(vectors[:count], axis=1).mean()) if count else 1.0
    length = length or 1.0
    gains = np.float32(share) * (scores / np.float32((probe or length) * length))
    span = _Span(unit_rows(vectors))
    for place in range(count, len(vectors)):
        span.add(place)
    for _ in range(count):
        best = int((gains + np.float32(weight) * span.rest(count)).argmax())
        yield best
        gains[best] = -np.inf
        span.add(best)


def unit_rows(vectors: Vectors) -> Vectors:
    """Scale the rows of float32 (n, dim) to length 1; a zero row stays one."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    norms[norms == 0] = 1.0
    units: Vectors = vectors / norms
    return units


class _Span:
    """What unit vectors have outside the span of a sliding window of others.

    Args:
        units: float32 (n, dim), unit rows.
    """

    def __init__(self, units: Vectors) -> None:
        # One product for all: cheaper than one for every pick.
        self._products = units @ units.T
        self._left = self._products.diagonal().copy()
        # The part of every vector along each orthonormal direction of the window.
        self._parts = np.zeros((WINDOW, len(units)), np.float32)
        self._next = 0

    def rest(self, count: int) -> Scores:
        """The length of what is left of the first `count` vectors: float32 (count,)."""
        rest: Scores = np.sqrt(np.maximum(self._left[:count], 0.0))
        return rest

    def add(self, place: int) -> None:
        """Widen the span by one of the vectors, and forget the oldest one of a full window."""
        slot = self._parts[self._next % WINDOW]
        if self._next >= WINDOW:
            self._left += slot * slot
            slot[:] = 0.0
        self._next += 1
        left = float(self._left[place])
        if left < _LEAST_LEFT:
            return
        along = self._parts[:, place] @ self._parts
        np.divide(self._products[place] - along, sqrt(left), out=slot)
        self._left -= slot * slot
