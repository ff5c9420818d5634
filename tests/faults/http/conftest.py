"""The service behind its real server in this process, and clients that write bytes as they like."""

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pytest

from service.api.app import create_app
from service.api.lifespan import Services, open_live
from service.api.metrics import Metrics
from service.api.readiness import Readiness
from service.index.live import Live
from service.server.server import Server, ServerConfig, listen
from service.settings import Settings

T = TypeVar("T")

GET = b"GET /items/pin-3/similar?k=2 HTTP/1.1\r\nHost: localhost\r\n\r\n"
POST_HEAD = b"POST /recommend HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


class Client:
    """One TCP connection."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        # The kernel would take megabytes off our hands that nobody reads.
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 32 << 10)
        self._unread = b""
        self.headers: dict[str, str] = {}
        """Of the last answer, by their names in lower case."""

    def send(self, *pieces: bytes) -> None:
        for piece in pieces:
            self._socket.sendall(piece)

    def drip(self, text: bytes, pause_s: float = 0.02) -> bool:
        """Send byte by byte, until the other side has had enough; whether it had."""
        try:
            for position in range(len(text)):
                self._socket.sendall(text[position : position + 1])
                time.sleep(pause_s)
        except OSError:
            return True
        return False

    def answer(self) -> tuple[int, bytes]:
        """Read one answer: status and body."""
        head = self._until(b"\r\n\r\n")
        lines = [line.decode("latin-1").partition(":") for line in head.split(b"\r\n")[1:]]
        self.headers = {name.lower(): value.strip() for name, _, value in lines}
        length = int(self.headers["content-length"])
        while len(self._unread) < length:
            self._receive()
        body, self._unread = self._unread[:length], self._unread[length:]
        return int(head.split(b" ", 2)[1]), body

    def interim(self) -> int:
        """Read the head of an interim answer: its status."""
        return int(self._until(b"\r\n\r\n").split(b" ", 2)[1])

    def is_closed(self) -> bool:
        """Wait until the other side hangs up; False after some seconds."""
        try:
            while self._socket.recv(65536):
                pass
        except TimeoutError:
            return False
        except OSError:
            pass
        return True

    def close(self) -> None:
        self._socket.close()

    def _until(self, end: bytes) -> bytes:
        while end not in self._unread:
            self._receive()
        found, _, self._unread = self._unread.partition(end)
        return found

    def _receive(self) -> None:
        chunk = self._socket.recv(65536)
        assert chunk, "the connection ended before the answer did"
        self._unread += chunk


@dataclass(frozen=True)
class Serving:
    """A running server."""

    server: Server
    port: int
    clients: list[Client]

    def connect(self) -> Client:
        """A connection that is closed after the test."""
        client = Client(self.port)
        self.clients.append(client)
        return client

    def ask(self, request: bytes = GET) -> tuple[int, bytes]:
        client = self.connect()
        client.send(request)
        return client.answer()

    def services(self) -> Services:
        """What the lifespan opened."""
        found: Services = self.server.lifespan.state["services"]
        return found

    def on_loop(self, coroutine: Coroutine[object, object, T]) -> T:
        """Run something on the server's event loop."""
        loop = self.server.servers[0].get_loop()
        return asyncio.run_coroutine_threadsafe(coroutine, loop).result(10)

    def inflight(self) -> float:
        """Requests that the application is answering."""
        return self.server.config.metrics.registry.get_sample_value("rec_inflight") or 0.0

    def rejected(self, status: int) -> float:
        return float(self.server.config.metrics.rejected.labels(str(status))._value.get())


def wait_until(true: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 20
    while not true() and time.monotonic() < deadline:
        time.sleep(0.005)
    assert true(), f"waited in vain for {what}"


@pytest.fixture
def wait() -> Callable[[Callable[[], bool], str], None]:
    return wait_until


@pytest.fixture(scope="session")
def live(pins_indexes: Path, toy_models: Path) -> Live:
    return open_live(Settings(models_dir=toy_models, indexes_dir=pins_indexes))


@pytest.fixture
def serve(live: Live, pins_indexes: Path, toy_models: Path) -> Iterator[Callable[..., Serving]]:
    """Start a server with these settings; all are stopped after the test."""
    running: list[tuple[Serving, threading.Thread]] = []

    def start(**chosen: object) -> Serving:
        folders = {"models_dir": toy_models, "indexes_dir": pins_indexes}
        settings = Settings.model_validate({"port": 0, **folders, **chosen})
        readiness, metrics = Readiness(), Metrics()
        app = create_app(settings, live, readiness=readiness, metrics=metrics)
        listener = listen(settings.host, settings.port)
        server = Server(ServerConfig(app, settings, readiness, metrics))
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        serving = Serving(server, listener.getsockname()[1], [])
        running.append((serving, thread))
        deadline = time.monotonic() + 20
        while not server.started and time.monotonic() < deadline:
            time.sleep(0.01)
        assert server.started
        return serving

    yield start
    for serving, thread in running:
        for client in serving.clients:
            client.close()
        serving.server.should_exit = True
        thread.join()
