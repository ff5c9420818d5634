"""RedisCache against a real redis-server: well, with bad values, and with many callers at once."""

from __future__ import annotations

import asyncio
import pickle
import random
import time
import zlib
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.cache.breaker import Breaker
from service.cache.frame import Stored, seal
from service.cache.keys import cache_key
from service.cache.pipeline import RedisLimits
from service.cache.redis import Lookup, RedisCache

if TYPE_CHECKING:
    from tests.faults.cache.conftest import OpenCache
    from tests.faults.cache.fault_proxy import FaultProxy
    from tests.faults.cache.redis_server import RedisServer

pytestmark = pytest.mark.redis

KEY = cache_key("key")
PATIENT = RedisLimits(budget_s=5, connect_timeout_s=5)


def narrow(pending: int) -> RedisLimits:
    return RedisLimits(budget_s=5, connect_timeout_s=5, max_pending=pending)


def sealed(key: bytes, body: bytes) -> bytes:
    return seal(key, Stored(body, time.time() + 60, 0.001))


async def test_stored_value_is_read_by_another_process(
    server: RedisServer, open_cache: OpenCache
) -> None:
    assert await open_cache(server.url).put(KEY, b"\x00value\r\n", ttl_s=60) is None
    assert await open_cache(server.url).get(KEY) == Lookup(b"\x00value\r\n", None)


async def test_cache_connects_at_first_use_and_leaves_nothing_open(server: RedisServer) -> None:
    cache = RedisCache.open(server.url)
    assert server.clients(at_most=0) == []
    # With production's limits a busy machine may miss a few times.
    for _ in range(100):
        if await cache.put(KEY, b"value", ttl_s=60) is None:
            break
    assert cache.stats.writes == 1
    await cache.aclose()
    assert server.clients(at_most=0) == []


async def test_unknown_key_is_a_miss_and_no_failure(
    server: RedisServer, open_cache: OpenCache
) -> None:
    cache = open_cache(server.url)
    assert await cache.get(KEY) == Lookup(None, None)
    assert (cache.stats.misses, cache.stats.failures) == (1, {})


async def test_empty_value_is_a_value(server: RedisServer, open_cache: OpenCache) -> None:
    cache = open_cache(server.url)
    await cache.put(KEY, b"", ttl_s=60)
    assert await cache.get(KEY) == Lookup(b"", None)


async def test_life_and_cost_travel_with_a_value(
    server: RedisServer, open_cache: OpenCache
) -> None:
    assert await open_cache(server.url).put(KEY, b"value", ttl_s=60, cost_s=0.25) is None
    left_ms = server.command("PTTL", KEY)
    assert isinstance(left_ms, int)
    assert 50_000 < left_ms <= 60_000
    found = await open_cache(server.url).get(KEY)
    assert (found.value, found.cost_s) == (b"value", 0.25)
    assert 50 < found.left_s <= 60


async def test_expired_value_is_a_miss(server: RedisServer, open_cache: OpenCache) -> None:
    cache = open_cache(server.url)
    await cache.put(KEY, b"value", ttl_s=60)
    server.command("PEXPIREAT", KEY, 1)
    assert await cache.get(KEY) == Lookup(None, None)


async def test_connections_carry_our_name(server: RedisServer, open_cache: OpenCache) -> None:
    await open_cache(server.url).get(KEY)
    assert server.clients(at_most=1) == ["magpie"]


async def test_ping_says_what_is_wrong(own_server: RedisServer, open_cache: OpenCache) -> None:
    cache = open_cache(own_server.url)
    assert await cache.ping() is None
    own_server.kill()
    assert await cache.ping() == "connect"


async def test_unix_socket_works(own_server: RedisServer, open_cache: OpenCache) -> None:
    path = own_server.folder / "redis.sock"
    own_server.kill()
    own_server.start("--unixsocket", str(path))
    cache = open_cache(f"unix://{path}?db=1")
    await cache.put(KEY, b"value", ttl_s=60)
    assert (await cache.get(KEY)).value == b"value"


# Bad values.


@pytest.mark.parametrize("stored", [b"plain", b"\x80\x04]\x94.", sealed(b"other", b"value")])
async def test_foreign_bytes_at_the_key_are_a_miss_and_removed(
    server: RedisServer, open_cache: OpenCache, stored: bytes
) -> None:
    server.command("SET", KEY, stored)
    cache = open_cache(server.url)
    assert await cache.get(KEY) == Lookup(None, "corrupt")
    assert server.command("EXISTS", KEY) == 0
    assert cache.breaker_state == "closed"


async def test_flipped_bit_in_a_stored_value_is_a_miss_and_removed(
    server: RedisServer, open_cache: OpenCache
) -> None:
    cache = open_cache(server.url)
    await cache.put(KEY, b"value", ttl_s=60)
    server.command("SETBIT", KEY, 350, 1 - int(str(server.command("GETBIT", KEY, 350))))
    assert await cache.get(KEY) == Lookup(None, "corrupt")
    assert server.command("EXISTS", KEY) == 0


FRAME = sealed(KEY, b'["fewer_than_k"]\n{"items":[]}')


@settings(
    deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    stored=st.one_of(
        st.binary(max_size=300),
        st.tuples(st.integers(0, len(FRAME) - 1), st.integers(1, 255)).map(
            lambda at: FRAME[: at[0]] + bytes([FRAME[at[0]] ^ at[1]]) + FRAME[at[0] + 1 :]
        ),
        st.integers(0, len(FRAME) - 1).map(lambda length: FRAME[:length]),
        st.just(zlib.compress(bytes(20_000_000), 9)),
        st.binary(max_size=50).map(lambda body: pickle.dumps(body)),
    )
)
def test_hostile_bytes_at_a_key_are_a_miss_and_removed(server: RedisServer, stored: bytes) -> None:
    """G11: noise, one byte changed, cut at any place, a compressed bomb, a pickle."""

    async def read() -> Lookup:
        cache = RedisCache.open(server.url, limits=PATIENT)
        try:
            return await cache.get(KEY)
        finally:
            await cache.aclose()

    server.command("SET", KEY, stored)
    found = asyncio.run(read())
    # No bytes at all are what Redis says of a key that it does not have.
    assert found == (Lookup(None, "corrupt") if stored else Lookup(None))
    assert server.command("EXISTS", KEY) == (0 if stored else 1)


async def test_connection_that_brought_a_bad_value_is_not_used_again(
    server: RedisServer, proxy: FaultProxy, open_cache: OpenCache
) -> None:
    """Its replies may be shifted by one; every later value would be bad too."""
    cache = open_cache(proxy.url)
    await cache.get(cache_key("good"))
    server.command("SET", KEY, "plain")
    await cache.get(KEY)
    assert proxy.connects == 1
    await cache.get(cache_key("good"))
    assert proxy.connects == 2


async def test_write_that_is_not_confirmed_counts_as_not_done(
    proxy: FaultProxy, open_cache: OpenCache
) -> None:
    await proxy.set_mode("corrupt", after_bytes=len(b"+OK\r\n") + 1)
    cache = open_cache(proxy.url)
    assert await cache.put(KEY, b"value", ttl_s=60) == "corrupt"
    assert cache.stats.writes == 0


async def test_hostile_fifty_megabytes_never_cross_the_wire(
    server: RedisServer, proxy: FaultProxy, open_cache: OpenCache
) -> None:
    server.command("SETRANGE", KEY, 50_000_000, "x")
    assert await open_cache(proxy.url).get(KEY) == Lookup(None, "corrupt")
    assert server.command("EXISTS", KEY) == 0
    assert proxy.reply_bytes < 1_100_000


async def test_value_above_the_limit_is_not_stored(
    server: RedisServer, open_cache: OpenCache
) -> None:
    cache = open_cache(server.url)
    assert await cache.put(KEY, bytes((1 << 20) + 1), ttl_s=60) == "oversized"
    assert await cache.put(KEY, bytes(1 << 20), ttl_s=60) is None
    assert len((await cache.get(KEY)).value or b"") == 1 << 20


async def test_server_without_a_bound_is_not_filled_above_ours(
    server: RedisServer, open_cache: OpenCache
) -> None:
    cache = open_cache(server.url, max_server_bytes=1)
    assert await cache.put(KEY, b"value", ttl_s=60) is None  # Nobody has looked yet.
    assert await cache.look_at_room() is None
    assert cache.room is not None
    assert cache.room.used_bytes > 100_000
    assert await cache.put(KEY, b"new", ttl_s=60) == "full"
    assert await cache.get(KEY) == Lookup(b"value")
    assert cache.stats.failures == {"full": 1}
    assert cache.breaker_state == "closed"


async def test_bound_of_the_server_itself_is_seen(
    own_server: RedisServer, open_cache: OpenCache
) -> None:
    cache = open_cache(own_server.url, max_server_bytes=1)
    own_server.command("CONFIG", "SET", "maxmemory", "50mb")
    own_server.command("CONFIG", "SET", "maxmemory-policy", "allkeys-lfu")
    assert await cache.look_at_room() is None
    assert cache.room is not None
    assert (cache.room.max_bytes, cache.room.concern) == (50 << 20, None)
    assert await cache.put(KEY, b"value", ttl_s=60) is None


async def test_wrong_type_at_the_key_is_a_miss_and_healed_by_the_next_write(
    server: RedisServer, open_cache: OpenCache
) -> None:
    server.command("RPUSH", KEY, "a")
    cache = open_cache(server.url)
    assert await cache.get(KEY) == Lookup(None, "wrongtype")
    assert await cache.put(KEY, b"value", ttl_s=60) is None
    assert await cache.get(KEY) == Lookup(b"value", None)


# Many callers, and callers that leave.


async def test_two_hundred_callers_at_once_share_one_connection_and_all_get_their_value(
    server: RedisServer, open_cache: OpenCache
) -> None:
    cache = open_cache(server.url)
    keys = [cache_key(str(number)) for number in range(200)]
    for key in keys:
        await cache.put(key, b"value of " + key, ttl_s=60)
    found = await asyncio.gather(*(cache.get(key) for key in keys))
    assert found == [Lookup(b"value of " + key) for key in keys]
    assert (cache.stats.connects, cache.stats.failures) == (1, {})
    assert server.clients(at_most=1) == ["magpie"]


async def test_two_hundred_callers_where_five_may_wait_get_their_value_or_a_miss_at_once(
    server: RedisServer, proxy: FaultProxy, open_cache: OpenCache
) -> None:
    """The sixth does not wait for a place: it is a miss in the same turn of the loop."""
    cache = open_cache(proxy.url, narrow(5))
    keys = [cache_key(str(number)) for number in range(200)]
    for key in keys:
        await cache.put(key, b"value of " + key, ttl_s=60)
    await proxy.set_mode("latency", delay_s=0.2)
    tasks = [asyncio.create_task(cache.get(key)) for key in keys]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert sum(task.done() for task in tasks) == 195
    found = await asyncio.gather(*tasks)
    for key, lookup in zip(keys, found, strict=True):
        assert lookup in (Lookup(b"value of " + key), Lookup(None, "busy"))
    assert sum(lookup.value is not None for lookup in found) == 5
    assert cache.breaker_state == "closed"
    await proxy.set_mode("pass")
    for key in keys[:20]:
        assert await cache.get(key) == Lookup(b"value of " + key)


async def test_too_many_questions_are_misses_and_say_nothing_about_redis(
    server: RedisServer, proxy: FaultProxy, open_cache: OpenCache
) -> None:
    cache = open_cache(proxy.url, narrow(1), Breaker(max_failures=1))
    await cache.put(KEY, b"value", ttl_s=60)
    await proxy.set_mode("latency", delay_s=0.3)
    slow = asyncio.create_task(cache.get(KEY))
    await asyncio.sleep(0.01)
    assert await cache.get(KEY) == Lookup(None, "busy")
    assert cache.breaker_state == "closed"
    assert await slow == Lookup(b"value")


async def test_connection_that_is_lost_once_is_one_failure_however_many_shared_it(
    server: RedisServer, proxy: FaultProxy, open_cache: OpenCache
) -> None:
    cache = open_cache(proxy.url)
    await cache.put(KEY, b"value", ttl_s=60)
    await proxy.set_mode("reset", after_bytes=0)
    found = await asyncio.gather(*(cache.get(KEY) for _ in range(50)))
    assert set(found) == {Lookup(None, "connect")}
    assert cache.breaker_state == "closed"
    await proxy.set_mode("pass")
    assert await cache.get(KEY) == Lookup(b"value")


@pytest.mark.parametrize("seed", [1, 2])
async def test_callers_that_leave_mid_command_never_shift_replies(
    server: RedisServer,
    open_cache: OpenCache,
    seed: int,
    everything: bool,
    counts: Counter[str],
) -> None:
    """CVE-2023-28858 and -28859: a cancelled command's reply was read by the next caller."""
    chance = random.Random(seed)
    cache = open_cache(server.url)
    keys = [cache_key(str(number)) for number in range(50)]
    for key in keys:
        await cache.put(key, b"value of " + key, ttl_s=60)

    async def read_and_check(key: bytes) -> None:
        assert (await cache.get(key)).value in (None, b"value of " + key)

    cancels = 0
    while cancels < (10_000 if everything else 1_000):
        tasks = [asyncio.create_task(read_and_check(chance.choice(keys))) for _ in range(10)]
        for task in chance.sample(tasks, 8):
            for _ in range(chance.randrange(8)):
                await asyncio.sleep(0)
            cancels += task.cancel()
            if chance.random() < 0.3:
                await asyncio.sleep(0)
                task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert not [
            result
            for result in results
            if result is not None and not isinstance(result, asyncio.CancelledError)
        ]
    assert "corrupt" not in cache.stats.failures
    counts["cache: callers that left mid-command, no reply shifted"] += cancels
    for key in keys:
        assert await cache.get(key) == Lookup(b"value of " + key)
    assert cache.stats.pending == 0
    assert cache.stats.connects == 1
    assert server.clients(at_most=1) == ["magpie"]


async def test_callers_that_leave_while_it_connects_do_not_end_the_attempt(
    proxy: FaultProxy, open_cache: OpenCache
) -> None:
    await proxy.set_mode("latency", delay_s=0.1)
    cache = open_cache(proxy.url)
    first, second = (asyncio.create_task(cache.get(KEY)) for _ in range(2))
    await asyncio.sleep(0.02)
    first.cancel()
    assert await second == Lookup(None)
    assert proxy.connects == 1
