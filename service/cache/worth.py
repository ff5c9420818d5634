"""Which questions are worth a trip to Redis: those that are dearer to answer than the trip.

A trip costs the event loop about as much as a bare search of a small index, so that asking Redis
first would only add to it; an encoding or a search of a large index costs many times as much.
"""

from collections.abc import Hashable

from service.cache.typical_costs import TypicalCosts


class Worth:
    """Decides whether to ask Redis, by kind of question.

    Args:
        min_cost_s: a kind that typically costs less is not worth a trip; 0: every kind is.
    """

    def __init__(self, min_cost_s: float) -> None:
        self._min_cost_s = min_cost_s
        self._costs = TypicalCosts()
        self.skipped = 0
        """Questions that did not go to Redis."""

    def is_dear(self, kind: Hashable) -> bool:
        """Whether to ask Redis for an answer of this kind, and to store one there."""
        cost_s = self._costs.of(kind)
        # What was never answered here may well be in Redis, and its cost is not known.
        if cost_s is None or cost_s >= self._min_cost_s:
            return True
        self.skipped += 1
        return False

    def note(self, kind: Hashable, cost_s: float) -> None:
        """Tell what an answer of a kind took to make."""
        self._costs.note(kind, cost_s)
