"""One value from Redis, by our pipeline and by redis-py as it comes."""

import asyncio
import os
import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from redis.asyncio import Redis

from service.cache.keys import cache_key
from service.cache.pipeline import RedisLimits
from service.cache.redis import RedisCache

_CALLERS = (1, 8, 32)
_TRIPS = 8_000
_VALUE_BYTES = 2_000
# Costs are measured here, not the limits of a busy machine.
_PATIENT = RedisLimits(budget_s=5, connect_timeout_s=5)


@dataclass(frozen=True, slots=True)
class Trips:
    """Processor time of a trip in µs, by callers at once; `put_us` at 8."""

    ours_us: dict[int, float]
    redis_py_us: dict[int, float]
    put_us: float

    def figures(self) -> dict[str, object]:
        """For the JSON file."""
        return {
            "ours_us": {str(callers): us for callers, us in self.ours_us.items()},
            "redis_py_us": {str(callers): us for callers, us in self.redis_py_us.items()},
            "put_us": self.put_us,
        }


async def measure_trips(url: str, rounds: int) -> Trips:
    """Ask both in turn; medians of the rounds."""
    cache, client = RedisCache.open(url, limits=_PATIENT), Redis.from_url(url)
    keys = [cache_key(b"trip", str(number)) for number in range(200)]
    value = os.urandom(_VALUE_BYTES)

    async def put(key: bytes) -> object:
        return await cache.put(key, value, ttl_s=600) is None

    async def get(key: bytes) -> object:
        return (await cache.get(key)).value

    for key in keys:
        await put(key)
    ours: dict[int, list[float]] = {callers: [] for callers in _CALLERS}
    theirs: dict[int, list[float]] = {callers: [] for callers in _CALLERS}
    puts = []
    for _ in range(rounds):
        for callers in _CALLERS:
            ours[callers].append(await _cost_us(get, keys, callers))
            theirs[callers].append(await _cost_us(client.get, keys, callers))
        puts.append(await _cost_us(put, keys, 8))
    await cache.aclose()
    await client.aclose()
    return Trips(
        {callers: statistics.median(costs) for callers, costs in ours.items()},
        {callers: statistics.median(costs) for callers, costs in theirs.items()},
        statistics.median(puts),
    )


async def _cost_us(
    trip: Callable[[bytes], Awaitable[object]], keys: list[bytes], callers: int
) -> float:
    left = iter(range(_TRIPS))

    async def call() -> None:
        for number in left:
            assert await trip(keys[number % len(keys)])

    started = time.process_time()
    await asyncio.gather(*(call() for _ in range(callers)))
    return (time.process_time() - started) / _TRIPS * 1e6
