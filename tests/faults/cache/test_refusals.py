"""RedisCache against servers that answer, but with a refusal or with nonsense."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING

import pytest

from service.cache.failures import Failure
from service.cache.keys import cache_key
from service.cache.redis import Lookup

if TYPE_CHECKING:
    from tests.faults.cache.conftest import OpenCache
    from tests.faults.cache.redis_server import RedisServer

pytestmark = pytest.mark.redis

KEY = cache_key("key")


class ScriptedServer:
    """Answers every command with the same bytes, whatever was asked."""

    def __init__(self, reply: bytes) -> None:
        self.reply = reply
        self.port = 0
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while await reader.read(65536):
                writer.write(self.reply)
                await writer.drain()
        writer.close()


@pytest.fixture
async def scripted_url() -> AsyncIterator[Callable[[bytes], Awaitable[str]]]:
    """Starts a server that gives one reply to everything, and returns its URL."""
    opened: list[ScriptedServer] = []

    async def open_one(reply: bytes) -> str:
        opened.append(ScriptedServer(reply))
        await opened[-1].open()
        return f"redis://127.0.0.1:{opened[-1].port}/0"

    yield open_one
    for scripted in opened:
        await scripted.close()


async def test_full_memory_refuses_writes_and_still_serves_reads(
    own_server: RedisServer, open_cache: OpenCache, caplog: pytest.LogCaptureFixture
) -> None:
    cache = open_cache(own_server.url)
    await cache.put(KEY, b"value", ttl_s=60)
    own_server.command("CONFIG", "SET", "maxmemory", "1")
    with caplog.at_level(logging.INFO):
        for _ in range(20):
            assert await cache.put(cache_key("new"), b"new", ttl_s=60) == "oom"
    assert await cache.get(KEY) == Lookup(b"value", None)
    assert (cache.breaker_state, cache.stats.failures) == ("closed", {"oom": 20})
    assert len(caplog.records) == 1


async def test_read_only_replica_refuses_writes_and_still_serves_reads(
    own_server: RedisServer, open_cache: OpenCache
) -> None:
    cache = open_cache(own_server.url)
    await cache.put(KEY, b"value", ttl_s=60)
    own_server.command("REPLICAOF", "127.0.0.1", "1")
    assert await cache.put(KEY, b"new", ttl_s=60) == "readonly"
    assert await cache.get(KEY) == Lookup(b"value", None)


async def test_missing_password_is_a_miss(own_server: RedisServer, open_cache: OpenCache) -> None:
    own_server.command("CONFIG", "SET", "requirepass", "word")
    assert await open_cache(own_server.url).get(KEY) == Lookup(None, "auth")
    with_password = own_server.url.replace("redis://", "redis://:word@")
    assert await open_cache(with_password).get(KEY) == Lookup(None, None)
    wrong = own_server.url.replace("redis://", "redis://:wrong@")
    assert await open_cache(wrong).get(KEY) == Lookup(None, "auth")


async def test_user_with_five_commands_on_our_keys_is_enough(
    own_server: RedisServer, open_cache: OpenCache
) -> None:
    own_server.command(
        "ACL", "SETUSER", "magpie", "on", ">word", "~magpie:*", "-@all",
        "+getrange", "+set", "+unlink", "+ping", "+info", "+client|setname",
    )  # fmt: skip
    cache = open_cache(own_server.url.replace("redis://", "redis://magpie:word@"))
    assert await cache.put(KEY, b"value", ttl_s=60) is None
    assert await cache.get(KEY) == Lookup(b"value", None)
    own_server.command("SET", KEY, "plain")
    assert await cache.get(KEY) == Lookup(None, "corrupt")
    assert await cache.ping() is None
    assert await cache.get(b"foreign:key") == Lookup(None, "auth")


@pytest.mark.parametrize(
    ("reply", "failure"),
    [
        (b"-LOADING Redis is loading the dataset in memory\r\n", "loading"),
        (b"-NOAUTH Authentication required.\r\n", "auth"),
        (b"-READONLY You can't write against a read only replica.\r\n", "readonly"),
        (b"-MISCONF Errors writing to disk\r\n", "other"),
        (b"-CLUSTERDOWN Hash slot not served\r\n", "other"),
        (b"-MOVED 1234 127.0.0.1:7001\r\n", "other"),
        (b"-ERR max number of clients reached\r\n", "connect"),
        (b"!garbage\r\n", "other"),
    ],
)
async def test_every_refusal_is_a_miss_with_its_reason(
    scripted_url: Callable[[bytes], Awaitable[str]],
    open_cache: OpenCache,
    reply: bytes,
    failure: Failure,
) -> None:
    cache = open_cache(await scripted_url(reply))
    assert await cache.get(KEY) == Lookup(None, failure)
    assert await cache.put(KEY, b"value", ttl_s=60) == failure


@pytest.mark.parametrize(
    "reply", [b"+OK\r\n", b"$5\r\nvalue\r\n", b":5\r\n", b"$-1\r\n", b"*0\r\n"]
)
async def test_server_that_says_one_thing_to_everything_gives_no_value(
    scripted_url: Callable[[bytes], Awaitable[str]], open_cache: OpenCache, reply: bytes
) -> None:
    cache = open_cache(await scripted_url(reply))
    for _ in range(3):
        found = await cache.get(KEY)
        assert found.value is None
        assert found.failure is not None
