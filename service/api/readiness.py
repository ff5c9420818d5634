"""Whether traffic may come here: the facts that `/readyz` tells a balancer."""

import time
from collections.abc import Callable

# Long enough to be seen by a balancer that asks every second.
_LAG_REMEMBERED_S = 2.0


class Readiness:
    """What stands between this process and traffic. One per process.

    Args:
        clock: seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lagged_at = float("-inf")
        self.is_warm = False
        """Index, model and caches have answered once."""
        self.is_draining = False
        """The process was told to end, and goes on until the balancers know."""

    def lagged(self) -> None:
        """Note that the event loop stood still for long."""
        self._lagged_at = self._clock()

    def obstacles(self) -> list[str]:
        """Stable codes of what is in the way; empty when traffic may come."""
        found = {
            "starting": not self.is_warm,
            "draining": self.is_draining,
            "event_loop_lag": self._clock() - self._lagged_at < _LAG_REMEMBERED_S,
        }
        return [code for code, is_so in found.items() if is_so]
