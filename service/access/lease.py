"""One quota for all processes: each leases a slice of the present window from a shared counter.

The counter says how much of the window's allowance is leased, so the processes together never
spend more than it. A request is answered from the slice its process holds; about twenty times in
a window one has to ask. No script runs on the server: two commands, and no text of a caller in
them. docs/decisions/0005-rate-limits.md
"""

import asyncio
import math
from collections.abc import Callable
from typing import Final, Protocol

from service.access.bucket import Bucket
from service.access.rate import Rate
from service.cache.keys import cache_key

_SLICES: Final = 20
# A window with fewer requests than this could not be split among processes.
_LEAST_IN_WINDOW: Final = 10


class Ledger(Protocol):
    """A counter that every process sees."""

    async def count(self, key: bytes, amount: int, life_s: int) -> int | None:
        """Add to a counter, which is forgotten `life_s` after its first use.

        Returns:
            The new total, or None where the ledger cannot be reached.
        """
        ...


class Lease:
    """What a process may spend of a key's quota. Event loop only.

    Args:
        key_id: whose quota.
        rate: how much it is.
        ledger: where the processes meet.
        alone: what counts while the ledger cannot be reached: this process's own share.
        clock: Unix seconds, so that processes agree on the windows.
    """

    def __init__(
        self, key_id: str, rate: Rate, ledger: Ledger, alone: Bucket, clock: Callable[[], float]
    ) -> None:
        self._name = key_id, str(rate)
        self._per_s = rate.per_s
        self._window_s = min(rate.window_s, max(1, math.ceil(_LEAST_IN_WINDOW / rate.per_s)))
        self._ledger = ledger
        self._alone = alone
        self._clock = clock
        self._held = 0
        self._spent_window = -1
        self._turn = asyncio.Lock()
        self.is_alone = False
        """Whether the last request was counted without the ledger."""

    async def take(self, cost: int, *, is_further: bool = False) -> float:
        """Spend for one request. What is leased for one that is too dear is there for the next.

        Returns:
            0.0 where it may pass, else after how many seconds it may.
        """
        if self._held >= cost:
            self._held -= cost
            return 0.0
        async with self._turn:
            # Others may have leased while this one waited for its turn.
            while True:
                now = self._clock()
                window = int(now // self._window_s)
                # What costs more than a window holds passes with all of it, and owes the rest.
                needed = min(cost, self._allowed(window) - is_further)
                if self._held >= needed:
                    break
                if window == self._spent_window:
                    return (window + 1) * self._window_s - now
                if not await self._lease(window, needed):
                    return self._alone.take(cost, now, is_further=is_further)
            self._held -= cost
            return 0.0

    async def _lease(self, window: int, needed: int) -> bool:
        """Lease a slice, or what is left of the window; False where the ledger is not reached."""
        allowed = self._allowed(window)
        wanted = max(needed - self._held, math.ceil(allowed / _SLICES))
        counter = cache_key(b"rate", *self._name, str(window))
        total = await self._ledger.count(counter, wanted, 2 * self._window_s)
        self.is_alone = total is None
        if total is None:
            return False
        granted = max(0, min(wanted, allowed - (total - wanted)))
        self._held += granted
        if granted < wanted:
            self._spent_window = window
        return True

    def _allowed(self, window: int) -> int:
        # Windows differ by one where the rate does not divide, so that their sum is exact.
        per_window = self._per_s * self._window_s
        return math.floor((window + 1) * per_window) - math.floor(window * per_window)
