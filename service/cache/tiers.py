"""Both tiers as one cache: process, then Redis, then one computation for all who ask."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from service.cache.failures import ANSWERED
from service.cache.local import LocalCache
from service.cache.redis import Lookup, RedisCache
from service.cache.single_flight import SingleFlight

Tier: TypeAlias = Literal["local", "redis", "miss"]
"""Where a value came from; "miss" means that it was computed."""

CACHE_UNAVAILABLE: Final = "cache_unavailable"
"""The stable code in `Cached.degraded`: Redis is set up but could not be used."""

_NOT_ASKED: Final = Lookup(None)


@dataclass(frozen=True, slots=True)
class Cached:
    """A value, the tier it came from, and a code where the cache was less than it should be."""

    value: bytes
    tier: Tier
    degraded: str | None = None


class TieredCache:
    """Answers from the nearest tier that has the value, else computes it once and stores it.

    Writes to Redis run after the answer, in at most `max_pending_writes` background tasks: the
    caller has its value already and should not wait for a slow Redis a second time. What does not
    fit is dropped and counted; the next miss writes it.

    Args:
        local: the first tier.
        redis: the second tier, None where there is none. This object closes it.
        max_pending_writes: bound of writes under way.
    """

    def __init__(
        self, local: LocalCache, redis: RedisCache | None, *, max_pending_writes: int = 64
    ) -> None:
        self.local = local
        self.redis = redis
        self.dropped_writes = 0
        self._max_pending_writes = max_pending_writes
        self._writes: set[asyncio.Task[object]] = set()
        self._flights: SingleFlight[Cached] = SingleFlight()

    async def get_or_compute(self, key: bytes, compute: Callable[[], Awaitable[bytes]]) -> Cached:
        """Return the value of a key, computing it only where no tier has it.

        Concurrent callers of one key share one lookup and one computation; if that fails or is
        cancelled, one of the others takes over.

        Args:
            key: from `cache_key`, with the index version in it.
            compute: makes the value; called at most once per call of this method.

        Raises:
            Exception: whatever `compute` raised. A fault of Redis is never raised.
        """
        value = self.local.get(key)
        if value is not None:
            return Cached(value, "local")
        return await self._flights.run(key, lambda: self._fill(key, compute))

    async def aclose(self) -> None:
        """Finish pending writes, each within its budget, and close Redis."""
        if self._writes:
            await asyncio.wait(self._writes)
        if self.redis is not None:
            await self.redis.aclose()

    async def _fill(self, key: bytes, compute: Callable[[], Awaitable[bytes]]) -> Cached:
        found = await self.redis.get(key) if self.redis is not None else _NOT_ASKED
        if found.value is not None:
            self.local.put(key, found.value)
            return Cached(found.value, "redis")
        value = await compute()
        self.local.put(key, value)
        if found.failure is not None and found.failure not in ANSWERED:
            return Cached(value, "miss", CACHE_UNAVAILABLE)
        self._write_later(key, value)
        return Cached(value, "miss")

    def _write_later(self, key: bytes, value: bytes) -> None:
        if self.redis is None:
            return
        if len(self._writes) >= self._max_pending_writes:
            self.dropped_writes += 1
            return
        task: asyncio.Task[object] = asyncio.create_task(self.redis.put(key, value))
        # The loop holds tasks weakly; this set keeps them alive and counts them.
        self._writes.add(task)
        task.add_done_callback(self._writes.discard)
