"""Both tiers as one cache: process, then Redis, then one computation for all who ask."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Hashable, Mapping
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, TypeAlias

from service.cache.failures import ANSWERED
from service.cache.lifetimes import Lifetimes
from service.cache.local import LocalCache
from service.cache.redis import Lookup, RedisCache
from service.cache.single_flight import SingleFlight
from service.cache.worth import Worth

logger = logging.getLogger(__name__)

Tier: TypeAlias = Literal["local", "redis", "negative", "miss"]
"""Where a value came from; "negative" is the memory of what does not exist, "miss" means that the
value was computed."""

CACHE_UNAVAILABLE: Final = "cache_unavailable"
"""The stable code in `Cached.degraded`: Redis is set up but could not be used."""

_NOT_ASKED: Final = Lookup(None)
# A refresh that failed is tried again after this time; meanwhile the value serves on.
_REFRESH_AGAIN_S: Final = 1.0


class Made(NamedTuple):
    """A computed value.

    `is_negative`: it says that something does not exist, so it is kept apart, not for long, and
    never shared.
    """

    value: bytes
    is_negative: bool = False


Compute: TypeAlias = Callable[[], Awaitable[Made]]


class Cached(NamedTuple):
    """A value, the tier it came from, and a code where the cache was less than it should be."""

    value: bytes
    tier: Tier
    degraded: str | None = None


Refresh: TypeAlias = Literal["made", "found", "failed", "dropped"]
"""How an early refresh ended. found: another process had made the value. dropped: too many."""


@dataclass(frozen=True, slots=True)
class TierStats:
    """Counts since start. `skipped`: questions too cheap for Redis."""

    refreshes: Mapping[Refresh, int]
    dropped_writes: int
    skipped: int


class TieredCache:
    """Answers from the nearest tier that has the value, else computes it once and stores it.

    Writes to Redis run after the answer, and so do refreshes of values whose end is near, in at
    most `max_background` tasks each: the caller has its value already and should not wait for a
    slow Redis a second time. What does not fit is dropped and counted.

    Args:
        local: the first tier.
        redis: the second tier, None where there is none. This object closes it.
        negatives: where negative values are kept; None: with the others.
        lifetimes: how long values live.
        worth: which questions Redis is asked.
        max_background: bound of writes, and of refreshes, under way.
        clock: monotonic seconds, the clock of `local`.
    """

    def __init__(
        self,
        local: LocalCache,
        redis: RedisCache | None,
        *,
        negatives: LocalCache | None = None,
        lifetimes: Lifetimes,
        worth: Worth | None = None,
        max_background: int = 64,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.local = local
        self.redis = redis
        self.negatives = local if negatives is None else negatives
        self.dropped_writes = 0
        self._lifetimes = lifetimes
        self._worth = worth or Worth(0.0)
        self._max_background = max_background
        self._clock = clock
        self._writes: set[asyncio.Task[object]] = set()
        self._refreshing: dict[bytes, asyncio.Task[None]] = {}
        self._refreshes: Counter[Refresh] = Counter()
        self._flights: SingleFlight[Cached] = SingleFlight()

    @property
    def stats(self) -> TierStats:
        """A snapshot of the counters; each tier has its own beside them."""
        return TierStats(dict(self._refreshes), self.dropped_writes, self._worth.skipped)

    def peek(self, key: bytes) -> bytes | None:
        """Return a value of this process that needs nothing, not even a refresh soon."""
        entry = self.local.find(key)
        if entry is None:
            return None
        value, _, refresh_at = entry
        return None if refresh_at <= self._clock() else value

    async def get_or_compute(
        self,
        key: bytes,
        compute: Compute,
        *,
        refresh: Compute | None = None,
        kind: Hashable = None,
    ) -> Cached:
        """Return the value of a key, computing it only where no tier has it.

        Concurrent callers of one key share one lookup and one computation; if that fails or is
        cancelled, one of the others takes over.

        Args:
            key: from `cache_key`, with the index version in it.
            compute: makes the value; called at most once per call of this method.
            refresh: makes it anew before its end, after this call, when nobody waits for it; at
                its end the value is computed again where there is none.
            kind: of the question; decides whether Redis is asked, see `Worth`.

        Raises:
            Exception: whatever `compute` raised. A fault of Redis is never raised.
        """
        cached = self.find(key, refresh=refresh, kind=kind)
        return cached or await self.fill(key, compute, kind=kind)

    def find(
        self, key: bytes, *, refresh: Compute | None = None, kind: Hashable = None
    ) -> Cached | None:
        """Return what this process has; arguments as for `get_or_compute`."""
        entry = self.local.find(key)
        if entry is not None:
            value, _, refresh_at = entry
            if refresh is not None and refresh_at <= self._clock():
                self._refresh_later(key, refresh, kind)
            return Cached(value, "local")
        negative = self.negatives.get(key)
        return None if negative is None else Cached(negative, "negative")

    def fill(self, key: bytes, compute: Compute, *, kind: Hashable = None) -> Awaitable[Cached]:
        """Get a value that this process does not have; as `get_or_compute`."""
        return self._flights.run(key, lambda: self._fill(key, compute, kind))

    def has_to_wait(self, key: bytes, kind: Hashable) -> bool:
        """Whether `fill` would ask Redis, or wait for another caller, before it computes."""
        if key in self._flights:
            return True
        return self.redis is not None and self._worth.is_dear(kind, key)

    def make(self, key: bytes, compute: Callable[[], Made], *, kind: Hashable = None) -> Cached:
        """Compute a value at once and keep it, where nothing `has_to_wait`.

        It takes no turn of the event loop, so nobody can ask for the same meanwhile.
        """
        started = self._clock()
        made = compute()
        self._store(key, made, _NOT_ASKED, self._clock() - started, kind)
        return Cached(made.value, "miss")

    async def settle(self) -> None:
        """Wait until everything that is to be written is, each write within its budget."""
        if self._writes:
            await asyncio.wait(self._writes)

    async def aclose(self) -> None:
        """Give up refreshes, finish pending writes, each within its budget, and close Redis."""
        for task in self._refreshing.values():
            task.cancel()
        if self._refreshing:
            await asyncio.wait(self._refreshing.values())
        await self.settle()
        if self.redis is not None:
            await self.redis.aclose()

    async def _fill(self, key: bytes, compute: Compute, kind: Hashable) -> Cached:
        found = await self._look_up(key, kind)
        if found is not _NOT_ASKED and _has_answered(found):
            self._worth.note_asked(kind, is_found=found.value is not None)
        if found.value is not None:
            self._keep(key, found.value, found.left_s, found.cost_s)
            return Cached(found.value, "redis")
        started = self._clock()
        made = await compute()
        self._store(key, made, found, self._clock() - started, kind)
        return Cached(made.value, "miss", None if _has_answered(found) else CACHE_UNAVAILABLE)

    async def _look_up(self, key: bytes, kind: Hashable) -> Lookup:
        if self.redis is None or not self._worth.is_dear(kind, key):
            return _NOT_ASKED
        return await self.redis.get(key)

    def _store(self, key: bytes, made: Made, found: Lookup, cost_s: float, kind: Hashable) -> None:
        self._worth.note(kind, cost_s)
        if made.is_negative:
            self.negatives.put(key, made.value)
            return
        ttl_s = self._lifetimes.draw()
        self._keep(key, made.value, ttl_s, cost_s)
        # Where the lookup failed, the write would; where Redis was not asked, it is not worth it.
        if self.redis is not None and found is not _NOT_ASKED and _has_answered(found):
            put = self.redis.put(key, made.value, ttl_s=ttl_s, cost_s=cost_s)
            self._write_later(put)

    def _keep(self, key: bytes, value: bytes, left_s: float, cost_s: float) -> None:
        refresh_in_s = self._lifetimes.refresh_in(left_s, cost_s)
        self.local.put(key, value, ttl_s=left_s, refresh_in_s=refresh_in_s)

    def _write_later(self, write: Coroutine[None, None, object]) -> None:
        if len(self._writes) >= self._max_background:
            self.dropped_writes += 1
            write.close()
            return
        task = asyncio.create_task(write)
        # The loop holds tasks weakly; this set keeps them alive and counts them.
        self._writes.add(task)
        task.add_done_callback(self._writes.discard)

    def _refresh_later(self, key: bytes, compute: Compute, kind: Hashable) -> None:
        # The value serves on while it is made anew, and for a while if that fails.
        self.local.defer(key, _REFRESH_AGAIN_S)
        if key in self._refreshing:
            return
        if len(self._refreshing) >= self._max_background:
            self._refreshes["dropped"] += 1
            return
        task = asyncio.create_task(self._refresh(key, compute, kind))
        self._refreshing[key] = task
        task.add_done_callback(lambda _: self._refreshing.pop(key))

    async def _refresh(self, key: bytes, compute: Compute, kind: Hashable) -> None:
        found = await self._look_up(key, kind)
        if found.value is not None and self._lifetimes.is_young(found.left_s):
            self._keep(key, found.value, found.left_s, found.cost_s)
            self._refreshes["found"] += 1
            return
        started = self._clock()
        try:
            made = await compute()
        except Exception as error:
            # The edge of the background: whoever asks at the value's end gets the failure told.
            self._refreshes["failed"] += 1
            logger.debug("a value could not be made anew: %s", type(error).__name__)
            return
        self._store(key, made, found, self._clock() - started, kind)
        self._refreshes["made"] += 1


def _has_answered(found: Lookup) -> bool:
    return found.failure is None or found.failure in ANSWERED
