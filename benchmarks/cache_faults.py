"""What a Redis that takes every question and answers none costs a lookup."""

import asyncio
import time
from dataclasses import asdict, dataclass

from service.cache.address import RedisAddress
from service.cache.breaker import Breaker
from service.cache.keys import cache_key
from service.cache.pipeline import RedisLimits
from service.cache.redis import RedisCache

_LOOKUPS = 20
_OPEN_LOOKUPS = 20_000


@dataclass(frozen=True, slots=True)
class Faults:
    """The worst lookup before the breaker opens, when it opens, and lookups while it is open."""

    black_hole_ms: float
    opens_s: float
    open_p99_ms: float

    def figures(self) -> dict[str, float]:
        """For the JSON file."""
        return asdict(self)


async def measure_faults() -> Faults:
    """Look up values in a black hole."""

    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(65536):
            pass
        writer.close()

    hole = await asyncio.start_server(swallow, "127.0.0.1", 0)
    url = f"redis://127.0.0.1:{hole.sockets[0].getsockname()[1]}/0"
    key = cache_key(b"black hole")
    stubborn = Breaker(max_failures=1_000_000, max_failing_s=1e9)
    asking_on = RedisCache(RedisAddress.parse(url), RedisLimits(), stubborn)
    waits_s = await _waits_s(asking_on, key, _LOOKUPS)
    cache = RedisCache.open(url)
    started = time.perf_counter()
    while cache.breaker_state == "closed":
        await cache.get(key)
    opens_s = time.perf_counter() - started
    open_s = sorted(await _waits_s(cache, key, _OPEN_LOOKUPS))
    hole.close()
    return Faults(max(waits_s) * 1e3, opens_s, open_s[int(0.99 * len(open_s))] * 1e3)


async def _waits_s(cache: RedisCache, key: bytes, lookups: int) -> list[float]:
    waits = []
    for _ in range(lookups):
        started = time.perf_counter()
        await cache.get(key)
        waits.append(time.perf_counter() - started)
    return waits
