"""An answer in one piece leaves in one write; bytes go out whole and in order in any case."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
from starlette.types import Message
from uvicorn.protocols.http.flow_control import FlowControl

from service.server.cycle import JoinedCycle

LENGTH = (b"content-length", b"2")
HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n"


class Answering:
    """A cycle over a real connection, and what has reached the other end."""

    def __init__(self, transport: asyncio.Transport, other: socket.socket) -> None:
        self.completed = 0
        self.transport = transport
        self._other = other

    def cycle(self, method: str = "GET", *, keep_alive: bool = True) -> JoinedCycle:
        scope: Any = {"type": "http", "method": method, "http_version": "1.1"}
        log = logging.getLogger("test")
        return JoinedCycle(
            scope=scope,
            transport=self.transport,
            flow=FlowControl(self.transport),
            logger=log,
            access_logger=log,
            access_log=False,
            default_headers=[],
            message_event=asyncio.Event(),
            expect_100_continue=False,
            keep_alive=keep_alive,
            on_response=self._complete,
        )

    def _complete(self) -> None:
        self.completed += 1

    async def arrived(self) -> bytes:
        """What came in since the last look."""
        await asyncio.sleep(0.01)
        try:
            return self._other.recv(1 << 16)
        except BlockingIOError:
            return b""


def start(*headers: tuple[bytes, bytes], status: int = 200) -> Any:
    return {"type": "http.response.start", "status": status, "headers": list(headers)}


def body(content: bytes, *, more: bool = False) -> Any:
    message: Message = {"type": "http.response.body", "body": content, "more_body": more}
    return message


@pytest.fixture
async def answering() -> AsyncIterator[Answering]:
    ours, other = socket.socketpair()
    other.setblocking(False)
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_connection(asyncio.Protocol, sock=ours)
    yield Answering(transport, other)
    transport.close()
    other.close()
    await asyncio.sleep(0)


async def test_a_head_leaves_with_its_body(answering: Answering) -> None:
    cycle = answering.cycle()
    await cycle.send(start(LENGTH))
    assert await answering.arrived() == b""
    await cycle.send(body(b"ok"))
    assert await answering.arrived() == HEAD + b"ok"
    assert cycle.response_complete
    assert answering.completed == 1


async def test_what_comes_in_pieces_arrives_in_order(answering: Answering) -> None:
    cycle = answering.cycle()
    await cycle.send(start(LENGTH))
    await cycle.send(body(b"o", more=True))
    assert await answering.arrived() == HEAD + b"o"
    await cycle.send(body(b"k"))
    assert await answering.arrived() == b"k"
    assert answering.completed == 1


async def test_an_answer_of_unknown_length_is_sent_in_chunks(answering: Answering) -> None:
    cycle = answering.cycle()
    await cycle.send(start())
    await cycle.send(body(b"ok"))
    assert (await answering.arrived()).endswith(b"chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n")


async def test_an_answer_to_head_has_a_length_and_no_body(answering: Answering) -> None:
    cycle = answering.cycle("HEAD")
    await cycle.send(start(LENGTH))
    await cycle.send(body(b"ok"))
    assert await answering.arrived() == HEAD
    assert answering.completed == 1


async def test_an_empty_answer_is_complete(answering: Answering) -> None:
    cycle = answering.cycle()
    await cycle.send(start(status=304))
    await cycle.send(body(b""))
    assert await answering.arrived() == b"HTTP/1.1 304 Not Modified\r\n\r\n"
    assert answering.completed == 1


async def test_the_last_answer_of_a_connection_says_so(answering: Answering) -> None:
    cycle = answering.cycle(keep_alive=False)
    await cycle.send(start(LENGTH))
    await cycle.send(body(b"ok"))
    assert (await answering.arrived()).endswith(b"connection: close\r\n\r\nok")


@pytest.mark.parametrize("value", [b"a\r\nset-cookie: b", b"a\nb", b"a\rb", b"a\0b"])
async def test_no_line_gets_into_a_head_that_nobody_meant(
    answering: Answering, value: bytes
) -> None:
    with pytest.raises(RuntimeError, match="header"):
        await answering.cycle().send(start(LENGTH, (b"x-request-id", value)))
    assert await answering.arrived() == b""


@pytest.mark.parametrize("content", [b"more than two", b"1"])
async def test_a_body_of_another_length_than_promised_is_an_error(
    answering: Answering, content: bytes
) -> None:
    cycle = answering.cycle()
    await cycle.send(start(LENGTH))
    with pytest.raises(RuntimeError, match="Content-Length"):
        await cycle.send(body(content))


async def test_nothing_is_written_to_a_client_that_left(answering: Answering) -> None:
    cycle = answering.cycle()
    await cycle.send(start(LENGTH))
    cycle.disconnected = True
    await cycle.send(body(b"ok"))
    assert await answering.arrived() == b""
