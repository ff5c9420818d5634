"""Which questions are worth a trip to Redis: those that are dearer to answer than what trips cost.

A trip costs the event loop about as much as a bare search of a small index, so that asking Redis
first would only add to it; an encoding or a search of a large index costs many times as much. And
whoever asks what nobody asked before pays for the trip, and for storing the answer, in any case:
where Redis has next to nothing of a kind, it is not worth asking for it either.
"""

from collections.abc import Hashable
from typing import Final

from service.cache.typical_costs import TypicalCosts

BREAK_EVEN_SHARE: Final = 0.2
"""How much of a kind Redis has to have where a question costs just `min_cost_s`; see
docs/benchmarks/cache.md. Of what is dearer it may have less."""

_SMOOTHING: Final = 1 / 64
_KINDS_MAX: Final = 1024
# Of the last digit of a key. All of its questions are asked and stored there, whatever the kind,
# so that how many are found says how many would be found if all were.
_SAMPLED: Final = 15


class Worth:
    """Decides whether to ask Redis, by kind of question.

    Args:
        min_cost_s: a kind that typically costs less is not worth a trip; 0: every kind is.
    """

    def __init__(self, min_cost_s: float) -> None:
        self._min_cost_s = min_cost_s
        self._costs = TypicalCosts()
        self._shares: dict[Hashable, float] = {}
        self.skipped = 0
        """Questions that did not go to Redis."""

    def is_dear(self, kind: Hashable, key: bytes) -> bool:
        """Whether to ask Redis for an answer of this kind, and to store one there.

        Args:
            key: of the answer, from `cache_key`; one in sixteen is asked whatever is found.
        """
        cost_s = self._costs.of(kind)
        # What was never answered here may well be in Redis, and its cost is not known.
        if cost_s is None or self._saves(kind, cost_s, key):
            return True
        self.skipped += 1
        return False

    def note(self, kind: Hashable, cost_s: float) -> None:
        """Tell what an answer of a kind took to make."""
        self._costs.note(kind, cost_s)

    def note_asked(self, kind: Hashable, *, is_found: bool) -> None:
        """Tell whether Redis had an answer that it was asked for."""
        share = self._shares.get(kind)
        if share is None:
            if len(self._shares) >= _KINDS_MAX:
                return
            # Hopeful: what other processes have stored is not known yet.
            share = 1.0
        self._shares[kind] = share + _SMOOTHING * (is_found - share)

    def _saves(self, kind: Hashable, cost_s: float, key: bytes) -> bool:
        if cost_s < self._min_cost_s:
            return False
        saved_s = self._shares.get(kind, 1.0) * cost_s
        return saved_s >= BREAK_EVEN_SHARE * self._min_cost_s or not key[-1] & _SAMPLED
