"""The tiers without Redis; with a real one they are tested in tests/faults/cache."""

import asyncio

import pytest

from service.cache.lifetimes import Lifetimes
from service.cache.local import LocalCache
from service.cache.tiers import Cached, Made, TieredCache


@pytest.fixture
def cache() -> TieredCache:
    return TieredCache(LocalCache(max_bytes=100_000, ttl_s=60), None, lifetimes=Lifetimes(60))


async def value() -> Made:
    await asyncio.sleep(0)
    return Made(b"value")


async def broken() -> Made:
    raise ArithmeticError


async def test_first_answer_is_computed_and_the_second_local(cache: TieredCache) -> None:
    assert await cache.get_or_compute(b"k", value) == Cached(b"value", "miss", None)
    assert await cache.get_or_compute(b"k", broken) == Cached(b"value", "local", None)


async def test_concurrent_misses_compute_once(cache: TieredCache) -> None:
    calls = 0

    async def counted() -> Made:
        nonlocal calls
        calls += 1
        return await value()

    answers = await asyncio.gather(*(cache.get_or_compute(b"k", counted) for _ in range(1000)))
    assert {answer.value for answer in answers} == {b"value"}
    assert calls == 1


async def test_failed_computation_is_raised_and_not_kept(cache: TieredCache) -> None:
    with pytest.raises(ArithmeticError):
        await cache.get_or_compute(b"k", broken)
    assert (await cache.get_or_compute(b"k", value)).tier == "miss"


async def test_value_too_large_to_keep_still_reaches_all_who_wait(cache: TieredCache) -> None:
    async def large() -> Made:
        await asyncio.sleep(0)
        return Made(bytes(200_000))

    answers = await asyncio.gather(*(cache.get_or_compute(b"k", large) for _ in range(3)))
    assert [len(answer.value) for answer in answers] == [200_000] * 3
    assert cache.local.stats.entries == 0


async def test_closing_without_redis_is_fine(cache: TieredCache) -> None:
    await cache.aclose()
