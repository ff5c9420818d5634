"""A circuit breaker: stop asking who does not answer, and notice when it does again."""

import time
from collections.abc import Callable
from typing import Literal, TypeAlias

BreakerState: TypeAlias = Literal["closed", "open", "half_open"]
"""closed: ask. open: do not. half_open: one question is under way to find out."""


class Breaker:
    """Decides whether to ask. It knows no network: tell it how each admitted question ended.

    It opens after `max_failures` in a row, or at a failure that comes `max_failing_s` or more
    after the first of its row, so that slow traffic opens it too. While open it admits one probe
    every `probe_every_s`; one that never reports (its task was cancelled) is then given up.

    Args:
        max_failures: consecutive failures that open it.
        max_failing_s: how long a row of failures may last; 0.5 opens it within one second of
            failing for any caller that asks twice a second or more.
        probe_every_s: shortest time between opening and a probe, and between two probes.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        *,
        max_failures: int = 5,
        max_failing_s: float = 0.5,
        probe_every_s: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._max_failures = max_failures
        self._max_failing_s = max_failing_s
        self._probe_every_s = probe_every_s
        self._clock = clock
        self._state: BreakerState = "closed"
        self._failures = 0
        self._failing_since = 0.0
        self._last_probe = 0.0

    @property
    def state(self) -> BreakerState:
        """The state now. Open turns into half_open only when a probe is admitted."""
        return self._state

    def admit(self) -> bool:
        """Return whether the caller may ask now. If it may, it should report how that ended."""
        if self._state == "closed":
            return True
        now = self._clock()
        if now - self._last_probe < self._probe_every_s:
            return False
        self._state = "half_open"
        self._last_probe = now
        return True

    def succeed(self) -> bool:
        """Report an answer. Returns True if it closed the breaker, that is, ended an outage."""
        self._failures = 0
        # An answer to a question from before the breaker opened does not end the outage.
        if self._state != "half_open":
            return False
        self._state = "closed"
        return True

    def fail(self) -> bool:
        """Report a failure. Returns True if it opened the breaker, that is, began an outage."""
        now = self._clock()
        if self._state == "half_open":
            self._state = "open"
        if self._state == "open":
            return False
        if self._failures == 0:
            self._failing_since = now
        self._failures += 1
        if self._failures < self._max_failures and now - self._failing_since < self._max_failing_s:
            return False
        self._state = "open"
        self._failures = 0
        self._last_probe = now
        return True
