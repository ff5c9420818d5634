"""A TCP proxy that misbehaves on request, as networks and servers do."""

import asyncio
import random
import socket
import struct
from typing import Literal, TypeAlias

from tests.faults.cache.redis_server import free_port

Mode: TypeAlias = Literal[
    "pass", "black_hole", "latency", "reset", "slice", "truncate", "corrupt", "refuse"
]


class FaultProxy:
    """Forwards TCP to a server; `mode` says what becomes of its replies, from the next byte on.

    `delay_s` and `jitter_s`, which is added at random, belong to latency; `after_bytes` counts
    reply bytes of one connection and belongs to reset, truncate and corrupt.
    """

    def __init__(self, target_port: int) -> None:
        self.mode: Mode = "pass"
        self.delay_s = self.jitter_s = 0.0
        self.after_bytes = 0
        self.connects = 0
        self.reply_bytes = 0
        self.port = free_port()
        self._target_port = target_port
        self._server: asyncio.Server | None = None
        self._serving: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def set_mode(
        self, mode: Mode, *, delay_s: float = 0.0, jitter_s: float = 0.0, after_bytes: int = 0
    ) -> None:
        self.delay_s, self.jitter_s, self.after_bytes = delay_s, jitter_s, after_bytes
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
                late: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
                pumps.create_task(self._receive(replies, late))
                pumps.create_task(self._reply(late, writer))
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

    async def _receive(
        self, replies: asyncio.StreamReader, late: asyncio.Queue[tuple[float, bytes]]
    ) -> None:
        now = asyncio.get_running_loop().time
        while chunk := await replies.read(65536):
            self.reply_bytes += len(chunk)
            is_late = self.mode == "latency"
            delay_s = self.delay_s + self.jitter_s * random.random() if is_late else 0.0
            late.put_nowait((now() + delay_s, chunk))
        late.put_nowait((now(), b""))

    async def _reply(
        self, late: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter
    ) -> None:
        sent = 0
        while True:
            due, chunk = await late.get()
            # Each chunk is late by itself: what follows it is on its way meanwhile.
            await asyncio.sleep(due - asyncio.get_running_loop().time())
            if not chunk:
                raise ConnectionResetError("server went")
            await self._pass_on(chunk, sent, writer)
            sent += len(chunk)

    async def _pass_on(self, chunk: bytes, sent: int, writer: asyncio.StreamWriter) -> None:
        left = self.after_bytes - sent
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
