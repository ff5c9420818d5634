"""RedisCache while the server or the network fails, with the limits that production has."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

import pytest

from service.cache.breaker import Breaker
from service.cache.failures import RedisFault
from service.cache.frame import Stored, seal
from service.cache.keys import cache_key
from service.cache.pipeline import Pipeline, RedisLimits, pack
from service.cache.redis import Lookup, RedisCache

if TYPE_CHECKING:
    from tests.faults.cache.conftest import OpenCache
    from tests.faults.cache.fault_proxy import FaultProxy
    from tests.faults.cache.redis_server import RedisServer

pytestmark = pytest.mark.redis

KEY, OTHER = cache_key("key"), cache_key("other")
NO_BREAKER = 1_000_000
CEILING_S = 0.5
"""Ten times the budget: a busy machine may be late, library defaults (5 s, 10 retries) fail."""


def sealed(key: bytes, body: bytes) -> bytes:
    return seal(key, Stored(body, time.time() + 60, 0.001))


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


async def read_until(cache: RedisCache, value: bytes, within_s: float) -> None:
    deadline = time.monotonic() + within_s
    while (await cache.get(KEY)).value != value:
        assert time.monotonic() < deadline, f"no hit, {cache.stats}"
        await asyncio.sleep(0.02)


async def test_killed_server_is_answered_around_and_used_again_when_back(
    own_server: RedisServer, open_cache: OpenCache, caplog: pytest.LogCaptureFixture
) -> None:
    cache = open_cache(own_server.url, RedisLimits())
    own_server.command("SET", KEY, sealed(KEY, b"value"))
    await read_until(cache, b"value", within_s=5)
    caplog.set_level(logging.INFO)
    readers = [asyncio.create_task(cache.get(KEY)) for _ in range(50)]
    await asyncio.sleep(0)
    own_server.kill()
    assert {lookup.value for lookup in await asyncio.gather(*readers)} <= {None, b"value"}
    for _ in range(200):
        assert (await cache.get(KEY)).value is None
    assert cache.breaker_state == "open"
    assert [record.levelname for record in caplog.records] == ["WARNING"]

    own_server.start()
    own_server.command("SET", KEY, sealed(KEY, b"new"))
    await read_until(cache, b"new", within_s=5)
    assert cache.stats.breaker == "closed"
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


async def test_open_breaker_lets_one_connect_a_second_through(
    proxy: FaultProxy, open_cache: OpenCache
) -> None:
    clock = Clock()
    cache = open_cache(proxy.url, RedisLimits(), Breaker(clock=clock))
    await proxy.set_mode("truncate", after_bytes=0)
    while cache.breaker_state == "closed":
        await cache.get(KEY)
    before = proxy.connects
    for _ in range(10):
        clock.now += 1.0
        for _ in range(50):
            await cache.get(KEY)
    assert proxy.connects - before <= 10
    assert cache.stats.failures["open"] >= 490


async def test_black_hole_costs_no_more_than_the_budget(
    server: RedisServer, proxy: FaultProxy, open_cache: OpenCache
) -> None:
    """Also proves that no library default is in use: those would take 5 s and 10 retries."""
    cache = open_cache(proxy.url, RedisLimits(), Breaker(max_failures=NO_BREAKER, max_failing_s=60))
    await proxy.set_mode("black_hole")
    for _ in range(3):
        start = time.monotonic()
        assert await cache.get(KEY) == Lookup(None, "timeout")
        assert time.monotonic() - start < CEILING_S
        start = time.monotonic()
        assert await cache.put(KEY, b"value", ttl_s=60) == "timeout"
        assert time.monotonic() - start < CEILING_S
    await proxy.set_mode("pass")
    server.command("SET", KEY, sealed(KEY, b"value"))
    await read_until(cache, b"value", within_s=5)


async def test_budget_holds_where_each_step_alone_would_be_in_time(
    proxy: FaultProxy, open_cache: OpenCache
) -> None:
    await proxy.set_mode("latency", delay_s=0.035)  # Once for the client name, once to read.
    assert await open_cache(proxy.url, RedisLimits()).get(KEY) == Lookup(None, "timeout")


async def test_two_hundred_callers_at_a_black_hole_all_return_in_time(
    proxy: FaultProxy, open_cache: OpenCache
) -> None:
    cache = open_cache(proxy.url, RedisLimits())
    await proxy.set_mode("black_hole")
    start = time.monotonic()
    found = await asyncio.gather(*(cache.get(KEY) for _ in range(200)))
    assert time.monotonic() - start < 4 * CEILING_S
    assert {lookup.value for lookup in found} == {None}
    assert {lookup.failure for lookup in found} <= {"timeout", "busy", "open"}
    assert cache.breaker_state == "open"


async def test_reply_a_second_late_is_a_miss_and_reaches_nobody_else(
    server: RedisServer, proxy: FaultProxy, open_cache: OpenCache
) -> None:
    cache = open_cache(proxy.url, RedisLimits(), Breaker(max_failures=NO_BREAKER, max_failing_s=60))
    server.command("SET", KEY, sealed(KEY, b"value"))
    server.command("SET", OTHER, sealed(OTHER, b"other value"))
    await read_until(cache, b"value", within_s=5)
    await proxy.set_mode("latency", delay_s=1.0)
    start = time.monotonic()
    assert await cache.get(KEY) == Lookup(None, "timeout")
    assert time.monotonic() - start < CEILING_S
    await proxy.set_mode("pass")
    while time.monotonic() - start < 1.2:
        assert (await cache.get(OTHER)).value in (None, b"other value")
        await asyncio.sleep(0.01)
    assert "corrupt" not in cache.stats.failures


async def test_refused_connection_is_a_miss(
    server: RedisServer, proxy: FaultProxy, open_cache: OpenCache
) -> None:
    await proxy.set_mode("refuse")
    cache = open_cache(proxy.url, RedisLimits())
    assert (await cache.get(KEY)).value is None
    assert cache.stats.failures.keys() <= {"connect", "timeout"}
    await proxy.set_mode("pass")
    server.command("SET", KEY, sealed(KEY, b"value"))
    await read_until(cache, b"value", within_s=5)


async def test_stopped_server_gives_misses_and_after_waking_only_right_values(
    own_server: RedisServer, open_cache: OpenCache
) -> None:
    cache = open_cache(
        own_server.url, RedisLimits(), Breaker(max_failures=NO_BREAKER, max_failing_s=60)
    )
    values = {cache_key(str(number)): b"%d" % number for number in range(20)}
    for key, value in values.items():
        own_server.command("SET", key, sealed(key, value))
    await asyncio.gather(*(cache.get(key) for key in values))
    own_server.pause()
    try:
        found = await asyncio.gather(*(cache.get(key) for key in values))
        assert {lookup.value for lookup in found} == {None}
    finally:
        own_server.resume()
    for _ in range(5):
        for key, value in values.items():
            assert (await cache.get(key)).value in (None, value)
    assert "corrupt" not in cache.stats.failures


@pytest.mark.parametrize("mode", ["truncate", "reset", "corrupt"])
async def test_reply_cut_or_damaged_at_any_byte_never_gives_a_wrong_value(
    server: RedisServer, proxy: FaultProxy, open_cache: OpenCache, mode: str
) -> None:
    frames = {KEY: sealed(KEY, b"value"), OTHER: sealed(OTHER, b"other")}
    reply_bytes = len(b"+OK\r\n$61\r\n\r\n") + len(frames[KEY])
    reasons: set[str | None] = set()
    for position in range(reply_bytes):
        for key, frame in frames.items():
            server.command("SET", key, frame)
        await proxy.set_mode(mode, after_bytes=position)  # type: ignore[arg-type]
        cache = open_cache(proxy.url, RedisLimits())
        first, second = await cache.get(KEY), await cache.get(OTHER)
        assert first.value in (None, b"value")
        assert second.value in (None, b"other")
        assert first.value is None or mode == "corrupt"
        reasons |= {first.failure, second.failure}
        await cache.aclose()
    assert reasons & ({"corrupt", "timeout"} if mode == "corrupt" else {"connect"})


async def test_reply_in_single_bytes_is_read_whole(
    server: RedisServer, proxy: FaultProxy, open_cache: OpenCache
) -> None:
    cache = open_cache(proxy.url)
    value = bytes(range(256)) * 4
    await proxy.set_mode("slice")
    assert await cache.put(KEY, value, ttl_s=60) is None
    assert await cache.get(KEY) == Lookup(value)


async def test_closing_while_the_server_hangs_ends_soon(
    proxy: FaultProxy, open_cache: OpenCache
) -> None:
    cache = open_cache(proxy.url, RedisLimits())
    await cache.get(KEY)
    await proxy.set_mode("black_hole")
    start = time.monotonic()
    await cache.aclose()
    assert time.monotonic() - start < CEILING_S


@pytest.mark.parametrize(("delay_s", "jitter_s"), [(0.1, 0.05), (1.0, 0.5)])
async def test_slow_server_is_asked_no_more_once_the_breaker_is_open(
    server: RedisServer,
    proxy: FaultProxy,
    open_cache: OpenCache,
    delay_s: float,
    jitter_s: float,
) -> None:
    """G4: the ceiling holds, and then a lookup costs nothing: no byte goes out."""
    clock = Clock()
    cache = open_cache(proxy.url, RedisLimits(), Breaker(clock=clock))
    server.command("SET", KEY, sealed(KEY, b"value"))
    await read_until(cache, b"value", within_s=5)
    await proxy.set_mode("latency", delay_s=delay_s, jitter_s=jitter_s)
    while cache.breaker_state == "closed":
        start = time.monotonic()
        assert (await cache.get(KEY)).value is None
        assert time.monotonic() - start < CEILING_S
    await asyncio.sleep(0)
    connects = proxy.connects
    for _ in range(500):
        assert await cache.get(KEY) == Lookup(None, "open")
    assert proxy.connects == connects


async def test_server_that_is_a_little_slow_still_gives_values(
    server: RedisServer, proxy: FaultProxy, open_cache: OpenCache
) -> None:
    """G4: 20 ms are within the budget. A busy machine may be late now and then."""
    cache = open_cache(proxy.url, RedisLimits(), Breaker(max_failures=NO_BREAKER, max_failing_s=60))
    server.command("SET", KEY, sealed(KEY, b"value"))
    await read_until(cache, b"value", within_s=5)
    await proxy.set_mode("latency", delay_s=0.02)
    found = [await cache.get(KEY) for _ in range(20)]
    assert set(found) <= {Lookup(b"value"), Lookup(None, "timeout")}
    assert Lookup(b"value") in found


async def test_question_whose_time_is_up_before_the_timer_is_set_ends_too() -> None:
    """Uvloop counts in milliseconds, and for less than one gives a handle of another kind."""
    pipeline = Pipeline(RedisLimits(budget_s=0.0002))
    question = pipeline.ask(pack("PING"))
    with pytest.raises(RedisFault, match="timeout"):
        await asyncio.wait_for(question, 5)
    assert pipeline.is_lost
