"""A small HTTP server with the service's contract, so that the load test has something to load."""

import asyncio
import json
import socket
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from loadtests.target import Target

Answer = tuple[int, dict[str, object]]
CATEGORIES = ("baking", "cycling", "garden")
_INVALID: Answer = (422, {"code": "invalid_request"})
_MISSING: Answer = (404, {"code": "item_not_found"})

Behaviour = Literal["right", "wrong", "starting"]


@dataclass
class FakeService:
    """Items in three categories; every list is the items in order, from the first seed onwards.

    `wrong` means that searches fail, lists of similar items hold one twice, and home pages get
    no answer at all.
    """

    behaviour: Behaviour = "right"
    delay_s: float = 0.0
    size: int = 600
    attributes: dict[str, object] | None = None

    def answer(self, method: str, target: str, body: bytes) -> Answer:
        parts = urlsplit(target)
        asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
        k = int(asked.get("k", "20"))
        if self.behaviour == "starting":
            return 503, {"code": "version_not_found"}
        if parts.path == "/info":
            top = [[name, self.size // 3] for name in CATEGORIES]
            category = {"category": {"kind": "keyword", "top": top}}
            return 200, {"attributes": category if self.attributes is None else self.attributes}
        time.sleep(self.delay_s)
        if parts.path.startswith("/items/"):
            seed = unquote(parts.path.split("/")[2])
            return self._list("similar", k, {seed}) if seed in self._ids() else _MISSING
        if parts.path == "/search":
            return self._list("search", k, set()) if asked.get("q") else _INVALID
        if method == "POST" and parts.path == "/recommend":
            return self._recommend(body)
        return 404, {"code": "not_found"}

    def _recommend(self, body: bytes) -> Answer:
        try:
            wish = json.loads(body)
        except ValueError:
            return 400, {"code": "invalid_json"}
        if wish.get("k") == 0 or not isinstance(wish.get("like", []), list):
            return _INVALID
        wanted: str | None = None
        for condition in wish.get("filter", {}).get("must", []):
            if condition["key"] != "category":
                return 422, {"code": "invalid_filter"}
            wanted = condition["match"]["value"]
        hidden = {*wish.get("like", []), *wish.get("dislike", [])}
        source = "similar" if wish.get("like") else "fallback"
        return self._list(source, wish.get("k", 20), hidden, wanted)

    def _list(self, source: str, k: int, hidden: set[str], wanted: str | None = None) -> Answer:
        if self.behaviour == "wrong" and source == "search":
            return 500, {"code": "internal"}
        kept = [
            {"id": each, "score": 0.0, "fields": {"category": category}}
            for each, category in zip(self._ids(), CATEGORIES * self.size, strict=False)
            if each not in hidden and wanted in (None, category)
        ]
        first = min((self._ids().index(each) for each in hidden), default=0)
        kept = kept[first:] + kept[:first]
        chosen = kept[:k]
        if self.behaviour == "wrong" and source == "similar":
            chosen[1:2] = chosen[:1]
        degraded = [] if len(chosen) == k else ["fewer_than_k"]
        return 200, {
            "items": chosen,
            "source": source,
            "degraded": degraded,
            "index": "fake@1",
            "missing": [],
        }

    def _ids(self) -> list[str]:
        return [f"item/{number}" for number in range(self.size)]


@contextmanager
def serving(service: FakeService) -> Iterator[str]:
    """Serve on a free loopback port; gives the root URL."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Head and body in one write: in two, Nagle and delayed ACKs cost 40 ms an answer.
        wbufsize = 1 << 16

        def log_message(self, format: str, *args: object) -> None:
            pass

        def _respond(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            if service.behaviour == "wrong" and body == b"{}":
                self.close_connection = True
                return
            status, answer = service.answer(self.command, self.path, body)
            content = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content)))
            self.send_header("server-timing", 'total;dur=1.5, cache;desc="miss";dur=0.5')
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = _respond  # noqa: N815

    class Server(ThreadingHTTPServer):
        # All users connect at once; a full queue would cost some of them a second.
        request_queue_size = 128
        daemon_threads = True

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def serve() -> Iterator[Callable[..., str]]:
    """Start a FakeService with the given settings; gives its root URL, stops it afterwards."""
    with ExitStack() as running:
        yield lambda **settings: running.enter_context(serving(FakeService(**settings)))


@pytest.fixture
async def stalling() -> AsyncIterator[Target]:
    """A server that does nothing for a second when first asked, and then answers at once."""
    released = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asyncio.get_running_loop().call_later(1.0, released.set)
        while True:
            await reader.readuntil(b"\r\n\r\n")
            await released.wait()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

    async with _listening(answer) as target:
        yield target


@pytest.fixture
async def closing() -> AsyncIterator[Target]:
    """A server that refuses everything and hangs up."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 503 Busy\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")

    async with _listening(answer) as target:
        yield target


@pytest.fixture
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def _listening(serve: Serve) -> AsyncIterator[Target]:
    """Serve each connection until its client hangs up, and wait for all of them at the end."""
    connections: list[asyncio.Task[None]] = []

    async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connections.append(task)
        with suppress(OSError, asyncio.IncompleteReadError):
            await serve(reader, writer)
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()

    async with await asyncio.start_server(serve_one, "127.0.0.1", 0) as server:
        yield Target("http", "127.0.0.1", server.sockets[0].getsockname()[1])
        await asyncio.gather(*connections)
