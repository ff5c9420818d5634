"""How long a value lives, and when it is made anew before its end.

Vattani, Chierichetti and Lowenstein (VLDB 2015) let each read of a value draw whether to make it
anew, with odds that grow towards its end, so that nobody waits at the end and not everybody
starts at once. Here each process draws the moment once, when it gets the value: processes are
spread in the same way, and a read costs a comparison.
"""

import math
import random
from collections.abc import Callable


class Lifetimes:
    """Draws lives and moments of refresh.

    Args:
        ttl_s: longest life of a value.
        jitter: share of `ttl_s` by which a life may be shorter, so that values made together do
            not end together.
        early: share of `ttl_s` by which a refresh comes before the end, at least and on top of it
            on average; at least what making the value took.
        chance: uniform numbers in [0, 1).
    """

    def __init__(
        self,
        ttl_s: float,
        *,
        jitter: float = 0.1,
        early: float = 0.01,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.ttl_s = ttl_s
        self._jitter = jitter
        self._early = early
        self._chance = chance

    def draw(self) -> float:
        """Return the life of a new value, in seconds."""
        return self.ttl_s * (1.0 - self._jitter * self._chance())

    def refresh_in(self, left_s: float, cost_s: float) -> float:
        """Return in how many seconds to make a value anew.

        Args:
            left_s: its life from now on.
            cost_s: how long making it took.

        Returns:
            Not before half of `left_s`: a value that is dear and short-lived must be of some use.
        """
        lead_s = max(cost_s, self._early * self.ttl_s)
        lead_s *= 1.0 - math.log(1.0 - self._chance())
        return left_s - min(lead_s, left_s / 2)

    def is_young(self, left_s: float) -> bool:
        """Whether a value was made recently: more than half of its life is ahead."""
        return left_s > self.ttl_s / 2
