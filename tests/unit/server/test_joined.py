"""Bytes go out whole and in order; only the head of an answer waits, for its body."""

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

from service.server.joined import JoinedWrites

HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n"


class Pair:
    """A real connection: what one end writes through `joined`, and what has reached the other."""

    def __init__(self, joined: JoinedWrites, other: socket.socket) -> None:
        self.joined = joined
        self._other = other

    async def arrived(self) -> bytes:
        """What came in since the last look."""
        await asyncio.sleep(0.01)
        try:
            return self._other.recv(1 << 16)
        except BlockingIOError:
            return b""


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    ours, other = socket.socketpair()
    other.setblocking(False)
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_connection(asyncio.Protocol, sock=ours)
    yield Pair(JoinedWrites(transport), other)
    transport.close()
    other.close()
    await asyncio.sleep(0)


async def test_a_head_leaves_with_the_body_behind_it(pair: Pair) -> None:
    pair.joined.write(HEAD)
    assert await pair.arrived() == b""
    pair.joined.write(b"ok")
    assert await pair.arrived() == HEAD + b"ok"


async def test_a_head_without_a_body_leaves_when_the_answer_is_complete(pair: Pair) -> None:
    pair.joined.write(HEAD)
    pair.joined.flush()
    pair.joined.flush()
    assert await pair.arrived() == HEAD


@pytest.mark.parametrize(
    "data", [b"HTTP/1.1 100 Continue\r\n\r\n", HEAD + b"ok", b"5\r\nchunk\r\n", b"a\r\n\r\n"]
)
async def test_all_else_leaves_at_once(pair: Pair, data: bytes) -> None:
    pair.joined.write(data)
    assert await pair.arrived() == data


async def test_an_empty_body_sends_the_head(pair: Pair) -> None:
    pair.joined.write(HEAD)
    pair.joined.write(b"")
    assert await pair.arrived() == HEAD


async def test_closing_sends_what_is_here_and_aborting_does_not(pair: Pair) -> None:
    pair.joined.write(HEAD)
    pair.joined.close()
    assert await pair.arrived() == HEAD
    assert pair.joined.is_closing()


async def test_an_abort_drops_what_is_here(pair: Pair) -> None:
    pair.joined.write(HEAD)
    pair.joined.abort()
    assert await pair.arrived() == b""
