"""The command that tells Docker whether the service is well, run as Docker would."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.unit.deploy.conftest import Instruction


@pytest.fixture
def answering() -> Iterator[Callable[[int], int]]:
    """Start a server whose /readyz answers with a status; gives its port."""
    servers: list[HTTPServer] = []

    def start(status: int) -> int:
        class Answer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(status if self.path == "/readyz" else 404)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        server = HTTPServer(("127.0.0.1", 0), Answer)
        servers.append(server)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        return server.server_port

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def exit_code(runtime: "list[Instruction]") -> Callable[[int], int]:
    """Run the image's health check against a port."""
    text = next(each.text for each in runtime if each.verb == "HEALTHCHECK")
    program, *arguments = json.loads(text.partition(" CMD ")[2])
    assert program == "python"

    def run(port: int) -> int:
        environ = os.environ | {"MAGPIE_PORT": str(port), "http_proxy": "http://127.0.0.1:9"}
        return subprocess.run(
            [sys.executable, *arguments], env=environ, stderr=subprocess.DEVNULL, check=False
        ).returncode

    return run


def test_is_well_when_ready(
    exit_code: Callable[[int], int], answering: Callable[[int], int]
) -> None:
    assert exit_code(answering(200)) == 0


def test_is_not_well_when_not_ready(
    exit_code: Callable[[int], int], answering: Callable[[int], int]
) -> None:
    assert exit_code(answering(503)) == 1


def test_is_not_well_when_nobody_listens(exit_code: Callable[[int], int]) -> None:
    assert exit_code(1) == 1
