"""Real processes: a service started as an operator starts it, and always reaped."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest

from service.catalogue.column_map import ColumnMap
from service.catalogue.text import TextTemplate
from service.pipelines.build_index import build

_START_S = 30.0
COLUMNS = ColumnMap(id="id", text=TextTemplate("{title}"))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(true: Callable[[], bool], what: str, timeout_s: float = _START_S) -> None:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if true():
            return
        time.sleep(0.05)
    raise AssertionError(f"waited {timeout_s:.0f} s in vain for {what}")


@dataclass(frozen=True)
class Answer:
    status: int
    body: dict[str, Any]


@dataclass(frozen=True)
class Service:
    """A running `magpie serve`."""

    url: str
    process: subprocess.Popen[bytes]

    def get(self, path: str) -> Answer:
        return self._send(urllib.request.Request(self.url + path))

    def recommend(self, **query: object) -> Answer:
        headers = {"content-type": "application/json"}
        return self._send(
            urllib.request.Request(self.url + "/recommend", orjson.dumps(query), headers)
        )

    def _send(self, request: urllib.request.Request) -> Answer:
        try:
            with urllib.request.urlopen(request, timeout=10) as response:
                return Answer(response.status, orjson.loads(response.read()))
        except urllib.error.HTTPError as error:
            return Answer(error.code, orjson.loads(error.read()))

    def is_ready(self) -> bool:
        try:
            return self.get("/readyz").status == 200
        except OSError:
            return False

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=20)


@dataclass(frozen=True)
class Workshop:
    """Models, indexes, and the means to build versions and serve them."""

    models: Path
    indexes: Path
    folder: Path

    def build(self, name: str, titles: list[str], minute: int) -> str:
        """Build a version whose items are item-0, item-1, … with these titles."""
        source = self.folder / f"{name}-{minute}.jsonl"
        rows = [{"id": f"item-{n}", "title": title} for n, title in enumerate(titles)]
        source.write_bytes(b"\n".join(map(orjson.dumps, rows)))
        now = datetime(2026, 11, 1, 12, tzinfo=UTC) + timedelta(minutes=minute)
        version = build(
            source,
            COLUMNS,
            name=name,
            models=self.models,
            indexes=self.indexes,
            model_id="toy",
            now=now,
        ).version
        return version

    def serve_and_fail(self, name: str) -> subprocess.CompletedProcess[bytes]:
        """Run `magpie serve` where it cannot start, and wait for its end."""
        return subprocess.run(
            self._command(name, free_port()),
            env=self._environment(),
            capture_output=True,
            timeout=_START_S,
            check=False,
        )

    @contextmanager
    def serving(
        self, name: str, *, port: int | None = None, log: Path | None = None, **variables: str
    ) -> Iterator[Service]:
        """Run `magpie serve` until the block ends; extra variables go into its environment.

        All that it writes goes to `log`, if there is one.
        """
        port = port or free_port()
        with (log or Path(os.devnull)).open("wb") as out:
            process = subprocess.Popen(
                self._command(name, port),
                env={**self._environment(), **variables},
                stdout=out,
                stderr=out,
            )
        service = Service(f"http://127.0.0.1:{port}", process)
        try:
            wait_until(service.is_ready, "the service to be ready")
            yield service
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()

    def _command(self, name: str, port: int) -> list[str]:
        return [sys.executable, "-m", "service", "serve", name, "--port", str(port)]

    def _environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "MAGPIE_MODELS_DIR": str(self.models),
            "MAGPIE_INDEXES_DIR": str(self.indexes),
            "MAGPIE_RELOAD_INTERVAL_S": "0.1",
            "MAGPIE_DRAIN_S": "0",
        }


@pytest.fixture
def wait() -> Callable[..., None]:
    return wait_until


@pytest.fixture
def workshop(tmp_path: Path, toy_models: Path) -> Workshop:
    return Workshop(toy_models, tmp_path / "indexes", tmp_path)


@pytest.fixture
def redis_port() -> Iterator[Callable[[], tuple[int, subprocess.Popen[bytes]]]]:
    """Start real Redis servers; each call gives a port and the process to kill."""
    binary = shutil.which("redis-server")
    assert binary, "install redis-server: the tests start a real one"
    started: list[subprocess.Popen[bytes]] = []

    def start() -> tuple[int, subprocess.Popen[bytes]]:
        port = free_port()
        process = subprocess.Popen(
            [
                binary,
                "--port",
                str(port),
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--appendonly",
                "no",
            ],
            stdout=subprocess.DEVNULL,
        )
        started.append(process)

        def answers() -> bool:
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", port)) == 0

        wait_until(answers, "redis-server to listen")
        return port, process

    yield start
    for process in started:
        process.kill()
        process.wait()
