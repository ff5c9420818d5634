"""From ranked candidates to a list: caps, promoted places, and no item beside its like."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from math import floor
from typing import Final

import numpy as np

from service.index.native.library import is_compiled
from service.index.native.vary import has_like
from service.recommend.caps import CapCounts
from service.recommend.diversity import unit_rows
from service.types import Rows, Scores, Vector, Vectors

NEAR_DUPLICATE: Final = 0.98
"""Cosine from which on two items count as the same; measured, see docs/benchmarks/quality.md."""

_ROUNDING: Final = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """Scored rows that may be shown, best first.

    Args:
        rows: int64 (n,).
        scores: float32 (n,).
        vectors: float32 (n, dim).
    """

    rows: Rows
    scores: Scores
    vectors: Vectors


@dataclass(slots=True)
class Arranged:
    """A list in the making: places of candidates, and what was left out on the way.

    Args:
        chosen: places among the candidates or, where `is_promoted`, among the promoted ones.
    """

    chosen: list[int] = field(default_factory=list)
    is_promoted: list[bool] = field(default_factory=list)
    too_many: int = 0
    near_duplicate: int = 0
    lacks_promoted: bool = False


def has_near_duplicates(vectors: Vectors, before: Vector | None = None) -> bool:
    """Tell whether a row of float32 (n, dim) is nearly the same as the one before it.

    Args:
        before: float32 (dim,), what stands before the first row, if anything does.
    """
    if before is not None:
        vectors = np.concatenate([before[np.newaxis, :], vectors])
    if len(vectors) < 2:
        return False
    if is_compiled():
        return has_like(vectors, NEAR_DUPLICATE)
    dots = np.vecdot(vectors[1:], vectors[:-1])
    squares = np.vecdot(vectors, vectors)
    return bool((dots > NEAR_DUPLICATE * np.sqrt(squares[1:] * squares[:-1])).any())


class Arranger:
    """Fills the places of one list.

    An item that would stand beside its like waits until another one has come between, and is
    left out where none does.

    Args:
        caps: what the list may hold of one kind.
        keeps_apart: whether near-duplicates are kept apart.
        before: float32 (dim,), the item before the first place; None if that is the very first.
        start: how many places earlier pages filled.
        share: share of all places that is promoted.
    """

    def __init__(
        self,
        caps: CapCounts,
        *,
        keeps_apart: bool,
        before: Vector | None,
        start: int,
        share: float,
    ) -> None:
        self._caps = caps
        self._keeps_apart = keeps_apart
        self._last = None if before is None else unit_rows(before[np.newaxis, :])[0]
        self._start = start
        self._share = share
        self._taken: set[int] = set()
        self._refused: set[int] = set()

    def fill(
        self, k: int, candidates: Candidates, order: Iterable[int], promoted: Candidates | None
    ) -> Arranged:
        """Fill up to k places.

        Args:
            k: how many.
            candidates: what to choose from.
            order: places in `candidates`, in the order in which they are to be tried.
            promoted: what promoted places are filled from, best first.
        """
        made = Arranged()
        line = _Queue(order, candidates)
        own = None if promoted is None else _Queue(range(len(promoted.rows)), promoted)
        while len(made.chosen) < k:
            place = None
            if own is not None and self._is_promoted(self._start + len(made.chosen)):
                place = self._next(own)
                made.lacks_promoted |= place is None
            is_promoted = place is not None
            if place is None:
                place = self._next(line)
            if place is None:
                made.near_duplicate = len(line.waiting)
                break
            made.chosen.append(place)
            made.is_promoted.append(is_promoted)
        made.too_many = len(self._refused)
        return made

    def _is_promoted(self, place: int) -> bool:
        before = floor(place * self._share + _ROUNDING)
        return floor((place + 1) * self._share + _ROUNDING) > before

    def _next(self, queue: "_Queue") -> int | None:
        for place in queue.waiting_for_other_than(self._last):
            queue.waiting.remove(place)
            if self._take(place, queue):
                return place
        for place in queue.rest:
            if self._is_beside_its_like(place, queue):
                queue.waiting.append(place)
            elif self._take(place, queue):
                return place
        return None

    def _is_beside_its_like(self, place: int, queue: "_Queue") -> bool:
        if self._last is None or not self._keeps_apart:
            return False
        return float(queue.units[place] @ self._last) > NEAR_DUPLICATE

    def _take(self, place: int, queue: "_Queue") -> bool:
        row = int(queue.rows[place])
        if row in self._taken:
            return False
        if self._caps.is_too_many(row):
            self._refused.add(row)
            return False
        self._last = queue.units[place]
        self._taken.add(row)
        self._caps.take(row)
        return True


class _Queue:
    """Candidates that have not been tried, and those that wait for another one between."""

    def __init__(self, order: Iterable[int], candidates: Candidates) -> None:
        self.rows = candidates.rows
        self.units = unit_rows(candidates.vectors)
        self.rest = iter(order)
        self.waiting: list[int] = []

    def waiting_for_other_than(self, last: Vector | None) -> list[int]:
        """Those that could stand behind an item, in the order in which they came."""
        if not self.waiting or last is None:
            return []
        likeness = self.units[self.waiting] @ last
        return [
            place
            for place, is_near in zip(self.waiting, likeness > NEAR_DUPLICATE, strict=True)
            if not is_near
        ]
