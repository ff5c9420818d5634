"""A generator that sends requests when they are due, whether or not earlier ones were answered.

Callers on the internet do not wait for each other, so latency is counted from the time at which
a request should have left. One process sends some 15,000 requests a second; whether it kept up
stands in `Shots.late_s`.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias, cast

import httptools
import numpy as np

from loadtests.shots import Shots
from loadtests.target import Target
from loadtests.traffic import Call

OnAnswer: TypeAlias = Callable[[int, int, bytes], None]
"""Told the number of the request, the status, and the body of every answer."""

# Timers are a millisecond coarse; within this time of the next request the loop turns instead.
_TURN_S = 0.002
_SWEEP_S = 0.1


def encode_call(call: Call, target: Target) -> bytes:
    """Write a call as HTTP/1.1."""
    head = [f"{call.method} {call.path} HTTP/1.1", f"Host: {target.host}:{target.port}"]
    if call.body is not None:
        head += ["Content-Type: application/json", f"Content-Length: {len(call.body)}"]
    return "\r\n".join([*head, "", ""]).encode("ascii") + (call.body or b"")


async def fire(
    target: Target,
    requests: Iterator[bytes],
    due_s: Sequence[float],
    *,
    connections: int = 256,
    timeout_s: float = 10.0,
    on_answer: OnAnswer | None = None,
) -> Shots:
    """Send one request at each time, and wait until the last is answered or given up.

    Args:
        target: where.
        requests: whole requests, as `encode_call` writes them; one is taken for each time.
        due_s: seconds after the start, ascending. All zeros and few connections make a closed
            loop, which measures how much a server can do.
        connections: at most so many are open; a request that finds none free waits, and its
            latency counts the wait.
        timeout_s: an answer that takes longer after sending counts as none.
        on_answer: told every answer; without it bodies are not kept.
    """
    gun = _Gun(target, requests, due_s, connections, timeout_s, on_answer)
    return await gun.fire()


class _Gun:
    """The state of one run."""

    def __init__(
        self,
        target: Target,
        requests: Iterator[bytes],
        due_s: Sequence[float],
        connections: int,
        timeout_s: float,
        on_answer: OnAnswer | None,
    ) -> None:
        self.on_answer = on_answer
        self.loop = asyncio.get_running_loop()
        self.idle: list[_Connection] = []
        self.busy: set[_Connection] = set()
        self._target = target
        self._requests = requests
        self._due = due_s
        self._connections_max = connections
        self._timeout_s = timeout_s
        self._waiting: deque[tuple[int, bytes]] = deque()
        self._opening: set[asyncio.Task[None]] = set()
        self._next = 0
        self._left = len(due_s)
        self._started = 0.0
        self._done = asyncio.Event()
        self._late = np.zeros(len(due_s))
        self._latency = np.full(len(due_s), np.inf)
        self._status = np.zeros(len(due_s), np.int64)

    async def fire(self) -> Shots:
        self._started = time.perf_counter()
        sweeper = asyncio.create_task(self._sweep())
        try:
            if self._left:
                self._advance()
                await self._done.wait()
        finally:
            sweeper.cancel()
            for connection in [*self.idle, *self.busy]:
                connection.transport.abort()
        return Shots(np.asarray(self._due, float), self._late, self._latency, self._status)

    def finished(self, shot: int, status: int) -> None:
        now = time.perf_counter() - self._started
        self._latency[shot] = now - self._due[shot] if status else np.inf
        self._status[shot] = status
        self._left -= 1
        if not self._left:
            self._done.set()

    def free(self, connection: "_Connection") -> None:
        """Give a connection that has its answer the next request, if one waits."""
        self.busy.discard(connection)
        if self._waiting:
            self._send(connection, *self._waiting.popleft())
        else:
            self.idle.append(connection)

    def lost(self, connection: "_Connection") -> None:
        self.busy.discard(connection)
        if connection in self.idle:
            self.idle.remove(connection)
        self._open_for_waiting()

    def _advance(self) -> None:
        """Send what is due, and come back for the rest."""
        now = time.perf_counter() - self._started
        while self._next < len(self._due) and self._due[self._next] <= now:
            shot, self._next = self._next, self._next + 1
            request = next(self._requests)
            if self.idle:
                self._send(self.idle.pop(), shot, request)
            else:
                self._waiting.append((shot, request))
        self._open_for_waiting()
        if self._next < len(self._due):
            ahead_s = self._due[self._next] - now
            if ahead_s > _TURN_S:
                self.loop.call_later(ahead_s - _TURN_S, self._advance)
            else:
                self.loop.call_soon(self._advance)

    def _send(self, connection: "_Connection", shot: int, request: bytes) -> None:
        now = time.perf_counter()
        self._late[shot] = now - self._started - self._due[shot]
        self.busy.add(connection)
        connection.send(shot, request, now + self._timeout_s)

    def _open_for_waiting(self) -> None:
        opened = len(self.busy) + len(self.idle) + len(self._opening)
        room = min(self._connections_max - opened, len(self._waiting) - len(self._opening))
        for _ in range(room):
            task = self.loop.create_task(self._open())
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    async def _open(self) -> None:
        target = self._target
        try:
            async with asyncio.timeout(self._timeout_s):
                _, connection = await self.loop.create_connection(
                    lambda: _Connection(self), target.host, target.port,
                    ssl=target.scheme == "https" or None,
                )  # fmt: skip
        except OSError:
            # Refused, or not accepted in time: that is what this caller got.
            if self._waiting:
                self.finished(self._waiting.popleft()[0], 0)
            return
        self.free(connection)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(_SWEEP_S)
            now = time.perf_counter()
            for connection in [each for each in self.busy if each.give_up_at < now]:
                connection.transport.abort()


class _Connection(asyncio.Protocol):
    """One connection, with at most one request under way."""

    def __init__(self, gun: _Gun) -> None:
        self.transport: asyncio.Transport
        self.give_up_at = float("inf")
        self._gun = gun
        self._shot = -1
        self._body = bytearray()
        self._parser = httptools.HttpResponseParser(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are none by inheritance.
        self.transport = cast(asyncio.Transport, transport)

    def send(self, shot: int, request: bytes, give_up_at: float) -> None:
        self._shot, self.give_up_at = shot, give_up_at
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.transport.abort()

    def on_body(self, body: bytes) -> None:
        if self._gun.on_answer is not None:
            self._body += body

    def on_message_complete(self) -> None:
        status, shot = self._parser.get_status_code(), self._shot
        if shot < 0:
            return
        self._shot = -1
        self._gun.finished(shot, status)
        if self._gun.on_answer is not None:
            self._gun.on_answer(shot, status, bytes(self._body))
            self._body.clear()
        if self._parser.should_keep_alive():
            self._gun.free(self)
        else:
            self.transport.close()

    def connection_lost(self, _: Exception | None) -> None:
        if self._shot >= 0:
            shot, self._shot = self._shot, -1
            self._gun.finished(shot, 0)
        self._gun.lost(self)
