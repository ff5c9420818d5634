"""Both tiers with a real Redis: what the next process finds, and what an outage costs."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import pytest

from service.cache.breaker import Breaker
from service.cache.keys import cache_key
from service.cache.lifetimes import Lifetimes
from service.cache.local import LocalCache
from service.cache.pipeline import RedisLimits
from service.cache.redis import RedisCache
from service.cache.tiers import CACHE_UNAVAILABLE, Cached, Made, TieredCache

if TYPE_CHECKING:
    from tests.faults.cache.conftest import OpenCache
    from tests.faults.cache.fault_proxy import FaultProxy
    from tests.faults.cache.redis_server import RedisServer

pytestmark = pytest.mark.redis

KEY = cache_key("key")


def tiered(redis: RedisCache, max_background: int = 64) -> TieredCache:
    local = LocalCache(max_bytes=1_000_000, ttl_s=60)
    return TieredCache(local, redis, lifetimes=Lifetimes(60), max_background=max_background)


def computing(value: bytes) -> Callable[[], Awaitable[Made]]:
    async def compute() -> Made:
        await asyncio.sleep(0)
        return Made(value)

    return compute


async def test_value_computed_by_one_process_is_found_by_the_next(
    server: RedisServer, open_cache: OpenCache
) -> None:
    first, second = tiered(open_cache(server.url)), tiered(open_cache(server.url))
    assert await first.get_or_compute(KEY, computing(b"1")) == Cached(b"1", "miss")
    await first.aclose()
    assert await second.get_or_compute(KEY, computing(b"2")) == Cached(b"1", "redis")
    assert await second.get_or_compute(KEY, computing(b"3")) == Cached(b"1", "local")
    await second.aclose()


async def test_concurrent_misses_ask_redis_once(server: RedisServer, open_cache: OpenCache) -> None:
    redis = open_cache(server.url)
    cache = tiered(redis)
    answers = await asyncio.gather(
        *(cache.get_or_compute(KEY, computing(b"1")) for _ in range(500))
    )
    assert set(answers) == {Cached(b"1", "miss")}
    assert redis.stats.misses == 1
    await cache.aclose()


async def test_outage_is_answered_by_computing_and_named(
    own_server: RedisServer, open_cache: OpenCache
) -> None:
    cache = tiered(open_cache(own_server.url, RedisLimits()))
    own_server.kill()
    for number in range(20):
        key, value = cache_key(str(number)), b"%d" % number
        answer = await cache.get_or_compute(key, computing(value))
        assert answer == Cached(value, "miss", CACHE_UNAVAILABLE)
        assert await cache.get_or_compute(key, computing(b"other")) == Cached(value, "local")
    assert cache.redis is not None
    assert cache.redis.breaker_state == "open"
    await cache.aclose()


async def test_server_killed_under_traffic_fails_no_request(
    own_server: RedisServer, open_cache: OpenCache
) -> None:
    caches = [tiered(open_cache(own_server.url, RedisLimits())) for _ in range(3)]

    async def ask(number: int) -> None:
        cache, name = caches[number % 3], str(number % 40)
        value = b"value of " + name.encode()
        answer = await cache.get_or_compute(cache_key(name), computing(value))
        assert answer.value == value

    async def kill_and_restart() -> None:
        await asyncio.sleep(0.02)
        own_server.kill()
        await asyncio.sleep(0.1)
        own_server.start()

    fault = asyncio.create_task(kill_and_restart())
    number = 0
    while not fault.done():
        await asyncio.gather(*(ask(number + offset) for offset in range(20)))
        number += 20
        await asyncio.sleep(0.001)
        for cache in caches:
            cache.local.discard(cache_key(str(number % 40)))
    await fault
    for cache in caches:
        await cache.aclose()


async def test_bad_value_in_redis_is_no_degradation_and_replaced(
    server: RedisServer, open_cache: OpenCache
) -> None:
    server.command("SET", KEY, "plain")
    cache = tiered(open_cache(server.url))
    assert await cache.get_or_compute(KEY, computing(b"1")) == Cached(b"1", "miss")
    await cache.aclose()
    again = tiered(open_cache(server.url))
    assert await again.get_or_compute(KEY, computing(b"2")) == Cached(b"1", "redis")
    await again.aclose()


async def test_caller_does_not_wait_for_the_write_and_writes_are_bounded(
    proxy: FaultProxy, open_cache: OpenCache
) -> None:
    breaker = Breaker(max_failures=1_000, max_failing_s=60)
    redis = open_cache(proxy.url, breaker=breaker)
    cache = tiered(redis, max_background=2)
    await redis.put(KEY, b"warm", ttl_s=60)

    arrived = asyncio.Barrier(5)

    async def stall_then_compute() -> Made:
        await arrived.wait()
        await proxy.set_mode("latency", delay_s=0.2)
        return Made(b"value")

    answers = await asyncio.gather(
        *(cache.get_or_compute(cache_key(str(n)), stall_then_compute) for n in range(5))
    )
    assert {answer.value for answer in answers} == {b"value"}
    assert redis.stats.writes == 1
    assert cache.dropped_writes == 3
    await cache.aclose()
    assert redis.stats.writes == 3


async def test_workers_that_miss_together_compute_once_each_at_most(
    server: RedisServer, open_cache: OpenCache
) -> None:
    """G8: 1,000 callers of one key on two workers; a leader that fails takes nobody with it."""
    workers = [tiered(open_cache(server.url)) for _ in range(2)]
    computed = 0

    async def compute() -> Made:
        nonlocal computed
        computed += 1
        await asyncio.sleep(0.01)
        return Made(b"value")

    async def fail() -> Made:
        await asyncio.sleep(0.01)
        raise ArithmeticError

    leaders = [asyncio.create_task(each.get_or_compute(KEY, fail)) for each in workers]
    await asyncio.sleep(0)
    followers = [each.get_or_compute(KEY, compute) for each in workers for _ in range(500)]
    answers = await asyncio.gather(*followers)
    assert {answer.value for answer in answers} == {b"value"}
    assert 1 <= computed <= 2
    failures = await asyncio.gather(*leaders, return_exceptions=True)
    assert [type(failure) for failure in failures] == [ArithmeticError] * 2
    for each in workers:
        await each.aclose()


async def test_hot_value_is_made_anew_once_for_all_workers(
    server: RedisServer, open_cache: OpenCache, everything: bool, counts: Counter[str]
) -> None:
    """G9 in real time: lives of 0.6 s, two workers asked every 2 ms, one Redis."""
    cycles = 100 if everything else 5
    lifetimes = Lifetimes(0.6, jitter=0.1, early=0.1)
    workers = [
        TieredCache(
            LocalCache(max_bytes=1_000_000, ttl_s=0.6), open_cache(server.url), lifetimes=lifetimes
        )
        for _ in range(2)
    ]
    made: list[float] = []
    misses: list[float] = []

    async def compute() -> Made:
        misses.append(time.monotonic())
        return Made(b"value")

    async def refresh() -> Made:
        made.append(time.monotonic())
        await asyncio.sleep(0.002)
        return Made(b"value")

    async def ask(worker: TieredCache) -> None:
        while len(made) + len(misses) < cycles:
            answer = await worker.get_or_compute(KEY, compute, refresh=refresh)
            assert answer.value == b"value"
            await asyncio.sleep(0.002)

    for worker in workers:
        await worker.get_or_compute(KEY, compute)
    misses.clear()
    started = time.monotonic()
    await asyncio.gather(*(ask(worker) for worker in workers))
    lives = (time.monotonic() - started) / 0.6
    found = sum(worker.stats.refreshes.get("found", 0) for worker in workers)
    counts["cache: expiry cycles of a hot value"] += cycles
    counts["cache: synchronous misses in them, of two workers"] += len(misses)
    counts["cache: early refreshes in them"] += len(made)
    assert found > 0
    # A refresh is at most two a life: one a worker, where both are at it at once.
    assert len(made) <= 2 * (lives / 0.45 + 1)
    if everything:
        assert len(misses) <= 0.05 * cycles
    for worker in workers:
        await worker.aclose()
