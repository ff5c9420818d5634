"""A real redis-server, to be killed, stopped and misconfigured."""

import contextlib
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import redis


class RedisServer:
    """A redis-server process on a port of its own, which keeps the port over restarts."""

    def __init__(self, binary: str, folder: Path) -> None:
        self.port = free_port()
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

    def lock_out(self, password: str) -> None:
        """Ask for a password from now on, and hang up on everybody."""
        with redis.Redis(host="127.0.0.1", port=self.port, socket_timeout=5) as client:
            client.config_set("requirepass", password)
            client.client_kill_filter(_type="normal", skipme=True)

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


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
