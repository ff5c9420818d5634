"""A real redis-server, and a proxy in front of it that misbehaves on request."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import pytest
import uvloop

from service.cache.address import RedisAddress
from service.cache.breaker import Breaker
from service.cache.pipeline import RedisLimits
from service.cache.redis import RedisCache
from tests.faults.cache.fault_proxy import FaultProxy
from tests.faults.cache.redis_server import RedisServer

PATIENT = RedisLimits(budget_s=5, connect_timeout_s=5)
"""For tests of anything but time: a busy machine must not turn an answer into a miss."""


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run the tests of this folder on both: uvloop is what production uses."""
    return {"uvloop": uvloop.new_event_loop, "asyncio": asyncio.new_event_loop}


OpenCache: TypeAlias = Callable[..., RedisCache]


@pytest.fixture(scope="session")
def redis_binary() -> str:
    binary = shutil.which("redis-server")
    if binary is None:
        pytest.skip("redis-server is not installed; apt-get install redis-server")
    return binary


@pytest.fixture(scope="session")
def _shared_server(
    redis_binary: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RedisServer]:
    server = RedisServer(redis_binary, tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.kill()


@pytest.fixture
def server(_shared_server: RedisServer) -> RedisServer:
    """An empty server which other tests use after this one: leave its settings alone."""
    _shared_server.command("FLUSHALL")
    return _shared_server


@pytest.fixture
def own_server(redis_binary: str, tmp_path: Path) -> Iterator[RedisServer]:
    """A server for this test alone, to be killed, stopped and misconfigured."""
    server = RedisServer(redis_binary, tmp_path)
    server.start()
    yield server
    server.kill()


@pytest.fixture
async def proxy(server: RedisServer) -> AsyncIterator[FaultProxy]:
    """A proxy in front of `server`."""
    proxy = FaultProxy(server.port)
    await proxy.open()
    yield proxy
    await proxy.close()


@pytest.fixture
async def open_cache() -> AsyncIterator[OpenCache]:
    """A factory of caches that are closed after the test."""
    opened: list[RedisCache] = []

    def open_one(
        url: str,
        limits: RedisLimits = PATIENT,
        breaker: Breaker | None = None,
        *,
        max_server_bytes: int | None = None,
    ) -> RedisCache:
        cache = RedisCache(
            RedisAddress.parse(url),
            limits,
            breaker or Breaker(),
            max_server_bytes=max_server_bytes,
        )
        opened.append(cache)
        return cache

    yield open_one
    for cache in opened:
        await cache.aclose()
