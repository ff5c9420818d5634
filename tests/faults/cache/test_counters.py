"""One count for all processes, in a real Redis, and rates of keys that are counted there."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from service.access.keys import Key
from service.access.limiter import Limiter
from service.access.rate import Rate
from service.cache.keys import cache_key
from service.cache.pipeline import RedisLimits

if TYPE_CHECKING:
    from tests.faults.cache.conftest import OpenCache
    from tests.faults.cache.fault_proxy import FaultProxy
    from tests.faults.cache.redis_server import RedisServer

pytestmark = pytest.mark.redis

COUNTER = cache_key(b"rate", "counter")
SHOP = Key("00000001", "shop", "read", b"", Rate.parse("100/s"), datetime(2026, 11, 25, tzinfo=UTC))


async def test_all_processes_add_to_one_counter_and_it_ends(
    server: RedisServer, open_cache: OpenCache
) -> None:
    one, other = open_cache(server.url), open_cache(server.url)
    assert await one.count(COUNTER, 5, 30) == 5
    assert await other.count(COUNTER, 2, 30) == 7
    assert await one.count(COUNTER, 1, 30) == 8
    left_s = server.command("TTL", COUNTER)
    assert isinstance(left_s, int)
    assert 0 < left_s <= 30


@pytest.mark.parametrize("mode", ["black_hole", "reset", "refuse"])
async def test_a_counter_that_is_out_of_reach_is_no_count(
    proxy: FaultProxy, open_cache: OpenCache, mode: str
) -> None:
    cache = open_cache(proxy.url, RedisLimits())
    await proxy.set_mode(mode)  # type: ignore[arg-type]
    assert await cache.count(COUNTER, 1, 30) is None


async def test_a_foreign_value_in_its_place_is_no_count(
    server: RedisServer, open_cache: OpenCache
) -> None:
    cache = open_cache(server.url)
    server.command("SET", COUNTER, "many")
    assert await cache.count(COUNTER, 1, 30) is None
    server.command("DEL", COUNTER)
    server.command("LPUSH", COUNTER, "many")
    assert await cache.count(COUNTER, 1, 30) is None


async def test_twice_a_quota_passes_as_the_quota_over_processes_that_share_a_redis(
    server: RedisServer, open_cache: OpenCache
) -> None:
    now = 1_764_028_800.0
    chance = random.Random(5)
    limiters = [Limiter(2, open_cache(server.url), clock=lambda: now) for _ in range(2)]
    passed, end = 0, now + 60
    while now < end:
        now += chance.expovariate(200)
        passed += await chance.choice(limiters).wait_s(SHOP) == 0
    assert passed == pytest.approx(6000, rel=0.05)
    assert not any(limiter.is_alone(SHOP) for limiter in limiters)


async def test_with_redis_away_each_process_grants_its_part(
    own_server: RedisServer, open_cache: OpenCache
) -> None:
    now = 1_764_028_800.0
    limiters = [Limiter(2, open_cache(own_server.url), clock=lambda: now) for _ in range(2)]
    own_server.kill()
    passed = 0
    for _ in range(60 * 200):
        now += 1 / 200
        passed += await random.choice(limiters).wait_s(SHOP) == 0
    assert passed == pytest.approx(6000, rel=0.05)
    assert all(limiter.is_alone(SHOP) for limiter in limiters)
