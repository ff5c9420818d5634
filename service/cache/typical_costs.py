"""What questions typically cost, by kind, measured while the service runs.

So what is decided by cost follows the catalogue, the index and the machine, and nobody has to
guess them beforehand.
"""

from collections.abc import Hashable
from typing import Final

_STEP: Final = 1.05
_KINDS_MAX: Final = 1024


class TypicalCosts:
    """A running median by kind: each answer moves it 5 % up or down.

    So an outlier moves it no more than any other answer. A kind too many is not remembered.
    """

    def __init__(self) -> None:
        self._costs_s: dict[Hashable, float] = {}

    def of(self, kind: Hashable) -> float | None:
        """What a kind typically costs, in seconds; None before the first."""
        return self._costs_s.get(kind)

    def note(self, kind: Hashable, cost_s: float) -> None:
        """Tell what an answer of a kind took to make."""
        before = self._costs_s.get(kind)
        if before is not None:
            self._costs_s[kind] = before * _STEP if cost_s > before else before / _STEP
        elif len(self._costs_s) < _KINDS_MAX:
            self._costs_s[kind] = cost_s
