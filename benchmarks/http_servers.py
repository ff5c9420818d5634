"""The servers of the HTTP benchmark, each a process of its own, pinned to chosen cores."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from benchmarks.worker import ROOT

_START_S = 120.0
_POOLS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass(frozen=True, slots=True)
class Server:
    """A running server on this machine."""

    name: str
    port: int
    pid: int

    def url(self, path: str) -> str:
        """The address of a path."""
        return f"http://127.0.0.1:{self.port}{path}"

    def post(self, path: str, body: bytes) -> tuple[bytes, Mapping[str, str]]:
        """Send one JSON body; the answer's body and headers.

        Raises:
            urllib.error.HTTPError: the answer is no 2xx.
        """
        headers = {"content-type": "application/json"}
        request = urllib.request.Request(self.url(path), body, headers)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.read(), {key.lower(): value for key, value in answer.headers.items()}

    def get(self, path: str) -> bytes:
        """Fetch a path."""
        with urllib.request.urlopen(self.url(path), timeout=30) as answer:
            found: bytes = answer.read()
        return found


Starting: TypeAlias = AbstractContextManager[Server]
"""A server that runs inside a `with` block."""


@contextmanager
def magpie(
    indexes: Path, cores: str, environment: Mapping[str, str] | None = None, options: str = ""
) -> Iterator[Server]:
    """Serve the one catalogue below a folder with everything on, as `magpie serve` does it."""
    port = free_port()
    (catalogue,) = [each.name for each in indexes.iterdir() if (each / "CURRENT").exists()]
    command = [sys.executable, "-m", "service", "serve", catalogue, "--port", str(port)]
    settings = {"MAGPIE_INDEXES_DIR": str(indexes), "MAGPIE_MODELS_DIR": str(ROOT / "models")}
    settings |= environment or {}
    with _running("magpie", [*command, *options.split()], port, cores, settings, "/readyz") as it:
        yield it


@contextmanager
def asgi(factory: str, cores: str, environment: Mapping[str, str]) -> Iterator[Server]:
    """Serve an application of this folder with uvicorn, uvloop and httptools."""
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "--factory", factory, "--port", str(port)]
    command += ["--loop", "uvloop", "--http", "httptools", "--no-access-log"]
    command += ["--log-level", "warning"]
    with _running(factory.partition(":")[0], command, port, cores, environment, "/") as server:
        yield server


@contextmanager
def redis(cores: str, folder: Path) -> Iterator[str]:
    """Run a Redis that keeps nothing on the disk; its URL."""
    binary = shutil.which("redis-server")
    if binary is None:
        raise SystemExit("redis-server is not installed: make system-packages")
    port = free_port()
    command = [binary, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir"]
    command += [str(folder), "--maxmemory", "512mb", "--maxmemory-policy", "allkeys-lru"]
    with _running("redis", command, port, cores, {}, None):
        yield f"redis://127.0.0.1:{port}/0"


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    return port


def workers(server: Server) -> list[int]:
    """The processes that answer: those that a supervisor started, or the only one."""
    listed = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text(encoding="ascii")
    spawned = [
        pid
        for pid in map(int, listed.split())
        # Beside the workers there is one that cleans up behind them.
        if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]
    return spawned or [server.pid]


def await_workers(server: Server, count: int) -> None:
    """Wait until so many workers serve; their metrics count them."""
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        lines = server.get("/metrics").decode().splitlines()
        serving = [line for line in lines if line.startswith("rec_index_version_info{")]
        if sum(float(line.rpartition(" ")[2]) for line in serving) >= count:
            return
        time.sleep(0.1)
    raise SystemExit(f"{server.name}: not all of {count} workers started")


def cpu_seconds(pid: int) -> float:
    """Processor time of a process and its threads so far."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_mb(pid: int) -> dict[str, float]:
    """Resident, proportional and private memory, in MB of 10^6 bytes.

    `private` is what no other process could share: pages that were written. Clean pages of mapped
    index files count for whoever has them open, so alone they would look private and are not.
    """
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    sizes = {line.split(":")[0]: float(line.split()[1]) * 1024 / 1e6 for line in lines[1:]}
    return {"rss": sizes["Rss"], "pss": sizes["Pss"], "private": sizes["Private_Dirty"]}


def tiers(server: Server) -> Counter[str]:
    """How many answers of Magpie came from which tier so far: local, redis, miss."""
    prefix = 'rec_cache_requests_total{result="'
    lines = server.get("/metrics").decode().splitlines()
    samples = [line.removeprefix(prefix) for line in lines if line.startswith(prefix)]
    pairs = [sample.split('"} ') for sample in samples]
    return Counter({tier: int(float(count)) for tier, count in pairs})


@contextmanager
def _running(
    name: str,
    command: Sequence[str],
    port: int,
    cores: str,
    environment: Mapping[str, str],
    ready: str | None,
) -> Iterator[Server]:
    variables = os.environ | dict.fromkeys(_POOLS, "1") | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        ["taskset", "-c", cores, *command],
        env=variables | dict(environment),
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
    )
    server = Server(name, port, process.pid)
    try:
        _await(server, process, ready)
        yield server
    finally:
        process.terminate()
        process.wait(timeout=30)


def _await(server: Server, process: "subprocess.Popen[bytes]", ready: str | None) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise SystemExit(f"{server.name} ended with code {process.returncode}")
        try:
            if ready is not None:
                server.get(ready)
            else:
                socket.create_connection(("127.0.0.1", server.port), timeout=1).close()
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.05)
            continue
        return
    raise SystemExit(f"{server.name} did not answer within {_START_S:.0f} s")
