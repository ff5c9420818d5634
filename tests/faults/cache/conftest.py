"""A real redis-server, and a proxy in front of it that misbehaves on request."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import struct
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Literal, TypeAlias

import pytest
import redis

from service.cache.address import RedisAddress
from service.cache.breaker import Breaker
from service.cache.pipeline import RedisLimits
from service.cache.redis import RedisCache

Mode: TypeAlias = Literal[
    "pass", "black_hole", "latency", "reset", "slice", "truncate", "corrupt", "refuse"
]

PATIENT = RedisLimits(budget_s=5, connect_timeout_s=5)
"""For tests of anything but time: a busy machine must not turn an answer into a miss."""


class RedisServer:
    """A redis-server process on a port of its own, which keeps the port over restarts."""

    def __init__(self, binary: str, folder: Path) -> None:
        self.port = _free_port()
        self._binary = binary
        self.folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self, *options: str) -> None:
        self._process = subprocess.Popen(
            [
                self._binary, "--bind", "127.0.0.1", "--port", str(self.port),
                "--save", "", "--appendonly", "no", "--dir", str(self.folder), *options,
            ],
            stdout=subprocess.DEVNULL,
        )  # fmt: skip
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            assert self._process.poll() is None, "redis-server ended at once"
            with contextlib.suppress(redis.ConnectionError):
                self.command("PING")
                return
            time.sleep(0.01)
        raise AssertionError("redis-server did not answer in 10 s")

    def kill(self) -> None:
        """SIGKILL, also for a stopped process, and wait for its end."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def pause(self) -> None:
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGCONT)

    def command(self, *arguments: str | bytes | int) -> object:
        """Run a command over a connection of its own."""
        with redis.Redis(host="127.0.0.1", port=self.port, socket_timeout=5) as client:
            reply: object = client.execute_command(*arguments)
        return reply

    def clients(self, at_most: int) -> list[str]:
        """The names of the service's connections, once no more than that many are left.

        The server notices a closed connection a moment later, so this waits up to 5 s.
        """
        deadline = time.monotonic() + 5
        while True:
            with redis.Redis(
                host="127.0.0.1", port=self.port, socket_timeout=5, client_name="test"
            ) as client:
                names = [line["name"] for line in client.client_list() if line["name"] != "test"]
            if len(names) <= at_most or time.monotonic() > deadline:
                return names
            time.sleep(0.01)


class FaultProxy:
    """Forwards TCP to a server; `mode` says what becomes of its replies, from the next byte on.

    `delay_s` belongs to latency; `after_bytes` counts reply bytes of one connection and belongs to
    reset, truncate and corrupt.
    """

    def __init__(self, target_port: int) -> None:
        self.mode: Mode = "pass"
        self.delay_s = 0.0
        self.after_bytes = 0
        self.connects = 0
        self.reply_bytes = 0
        self.port = _free_port()
        self._target_port = target_port
        self._server: asyncio.Server | None = None
        self._serving: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def set_mode(self, mode: Mode, *, delay_s: float = 0.0, after_bytes: int = 0) -> None:
        self.delay_s, self.after_bytes = delay_s, after_bytes
        refused = self.mode == "refuse"
        self.mode = mode
        if mode == "refuse":
            await self.close()
        elif refused:
            await self.open()

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for task in list(self._serving):
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connects += 1
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        upstream: asyncio.StreamWriter | None = None
        try:
            replies, upstream = await asyncio.open_connection("127.0.0.1", self._target_port)
            async with asyncio.TaskGroup() as pumps:
                pumps.create_task(self._forward(reader, upstream))
                pumps.create_task(self._reply(replies, writer))
        except (OSError, asyncio.CancelledError, BaseExceptionGroup):
            pass
        finally:
            for side in (writer, upstream):
                if side is not None:
                    side.close()
            self._serving.discard(task)

    async def _forward(self, reader: asyncio.StreamReader, upstream: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(65536):
            if self.mode != "black_hole":
                upstream.write(chunk)
                await upstream.drain()
        raise ConnectionResetError("client went")

    async def _reply(self, replies: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sent = 0
        while chunk := await replies.read(65536):
            self.reply_bytes += len(chunk)
            await self._pass_on(chunk, sent, writer)
            sent += len(chunk)
        raise ConnectionResetError("server went")

    async def _pass_on(self, chunk: bytes, sent: int, writer: asyncio.StreamWriter) -> None:
        left = self.after_bytes - sent
        if self.mode == "latency":
            await asyncio.sleep(self.delay_s)
        if self.mode == "slice":
            for position in range(len(chunk)):
                writer.write(chunk[position : position + 1])
                await writer.drain()
                await asyncio.sleep(0)
        elif self.mode in ("reset", "truncate") and len(chunk) > left:
            writer.write(chunk[: max(left, 0)])
            await writer.drain()
            if self.mode == "reset":
                linger = struct.pack("ii", 1, 0)  # Closing then sends RST, not FIN.
                writer.get_extra_info("socket").setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, linger
                )
            raise ConnectionResetError("as told")
        elif self.mode != "black_hole":
            if self.mode == "corrupt" and 0 <= left < len(chunk):
                chunk = chunk[:left] + bytes([chunk[left] ^ 1]) + chunk[left + 1 :]
            writer.write(chunk)
            await writer.drain()


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


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
