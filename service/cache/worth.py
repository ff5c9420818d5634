"""Which questions are worth a trip to Redis: those that are dearer to answer than the trip.

A trip costs the event loop about as much as a bare search of a small index, so that asking Redis
first would only add to it; an encoding or a search of a large index costs many times as much. The
costs are measured by kind of question while the service runs, so that the choice follows the
catalogue and the machine.
"""

from collections.abc import Hashable
from typing import Final

_STEP: Final = 1.05
_KINDS_MAX: Final = 1024


class Worth:
    """Decides whether to ask Redis, by kind of question.

    The cost of a kind is a running median: each answer moves it 5 % up or down, so that an outlier
    moves it no more than any other.

    Args:
        min_cost_s: a kind that typically costs less is not worth a trip; 0: every kind is.
    """

    def __init__(self, min_cost_s: float) -> None:
        self._min_cost_s = min_cost_s
        self._costs_s: dict[Hashable, float] = {}
        self.skipped = 0
        """Questions that did not go to Redis."""

    def cost_s(self, kind: Hashable) -> float | None:
        """What a kind typically costs; None before the first."""
        return self._costs_s.get(kind)

    def is_dear(self, kind: Hashable) -> bool:
        """Whether to ask Redis for an answer of this kind, and to store one there."""
        # What was never answered here may well be in Redis, and its cost is not known.
        if self._costs_s.get(kind, self._min_cost_s) >= self._min_cost_s:
            return True
        self.skipped += 1
        return False

    def note(self, kind: Hashable, cost_s: float) -> None:
        """Tell what an answer of a kind took to make. A kind too many is not remembered."""
        before = self._costs_s.get(kind)
        if before is not None:
            self._costs_s[kind] = before * _STEP if cost_s > before else before / _STEP
        elif len(self._costs_s) < _KINDS_MAX:
            self._costs_s[kind] = cost_s
