"""Nothing is ever called outside: build, publish, serve and answer with no network but loopback.

The commands run in a network namespace of their own. Whatever they attempt is noted by an audit
hook, and by strace where it is installed, which also sees what goes past Python: a socket opened
by a C library, uvloop's connections, a child process.
"""

import ipaddress
import os
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.conftest import REPOSITORY

_LIMIT_S = 180
_SCRIPTS = Path(__file__).parent / "air_gap"
_OUTSIDE = "192.0.2.1"  # TEST-NET-1: belongs to nobody (RFC 5737)
_UNREACHABLE = "NUMBER 101"  # ENETUNREACH

ATTEMPTS = {
    "a connection": """
        import socket
        socket.create_connection((OUTSIDE, 443), 2)
    """,
    "a datagram": """
        import socket
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"hello", (OUTSIDE, 53))
    """,
    "asyncio": """
        import asyncio
        asyncio.run(asyncio.open_connection(OUTSIDE, 443))
    """,
    "uvloop": """
        import asyncio, uvloop
        uvloop.run(asyncio.wait_for(asyncio.open_connection(OUTSIDE, 443), 5))
    """,
    "a socket behind Python's back": """
        import ctypes, socket, struct
        libc = ctypes.CDLL(None, use_errno=True)
        there = struct.pack("=HH4s8x", socket.AF_INET, socket.htons(443), socket.inet_aton(OUTSIDE))
        if libc.connect(libc.socket(socket.AF_INET, socket.SOCK_STREAM, 0), there, 16):
            raise OSError(ctypes.get_errno(), "refused")
    """,
    "a child process": """
        import subprocess, sys
        connect = f"import socket; socket.create_connection(({OUTSIDE!r}, 443), 2)"
        if subprocess.run([sys.executable, "-c", connect], stderr=subprocess.DEVNULL).returncode:
            raise OSError(101, "refused")
    """,
}
SEEN_BY_THE_HOOK = {"a connection", "a datagram", "asyncio"}
NAME_LOOKUP = """
    import socket
    socket.getaddrinfo("hub.example.org", 443)
"""

_CALL = re.compile(r'sa_family=AF_INET6?,.*?"(?P<address>[0-9a-fA-F:.]+)"')


@dataclass(frozen=True)
class Watched:
    """How a command ended in the namespace, and what it tried outside of it."""

    returncode: int
    output: str
    hook: list[str]
    """What the audit hook saw."""
    calls: list[str] | None
    """What strace saw; None where it is not installed."""


@cache
def namespace() -> tuple[str, ...] | None:
    """The command that gives a process a network of its own; None where that is not allowed."""
    for command in (("unshare", "-r", "-n"), ("unshare", "-n")):
        if shutil.which("unshare") and _succeeds((*command, "true")):
            return command
    return None


@cache
def tracer() -> tuple[str, ...] | None:
    """The command that notes what a process and its children send; None where there is none."""
    calls = "trace=connect,sendto,sendmsg,sendmmsg"
    command = ("strace", "-f", "-qq", "--seccomp-bpf", "-e", calls)
    if not shutil.which("strace"):
        return None
    probe = (*(namespace() or ()), *command, "-o", os.devnull, "true")
    return command if _succeeds(probe) else None


def _succeeds(command: Sequence[str]) -> bool:
    return subprocess.run(command, capture_output=True, check=False, timeout=20).returncode == 0


def outward_calls(trace: str) -> list[str]:
    """The system calls of a trace that name an internet address other than loopback."""
    return [
        line
        for line in trace.splitlines()
        for found in _CALL.finditer(line)
        if not ipaddress.ip_address(found["address"]).is_loopback
    ]


class AirGap:
    """Runs Python scripts where only loopback exists, and watches them."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self._folder = folder
        self._environment = environment
        self._hook_log = folder / "hook.log"

    def wired(self, script: Path, *arguments: str) -> list[str]:
        """The command that runs a script behind the tripwire."""
        wire = [sys.executable, str(_SCRIPTS / "tripwire.py"), str(self._hook_log)]
        return [*wire, str(script), *arguments]

    def run_code(self, code: str) -> Watched:
        """Run a few lines behind the tripwire; an OSError in them is printed as its number."""
        tried = textwrap.indent(textwrap.dedent(code).strip(), "    ")
        script = self._folder / "attempt.py"
        script.write_text(
            f"OUTSIDE = {_OUTSIDE!r}\ntry:\n{tried}\n"
            "except OSError as error:\n    print('NUMBER', error.errno)\n",
            encoding="utf-8",
        )
        return self.run(self.wired(script))

    def run(self, command: Sequence[str]) -> Watched:
        """Run a command in the namespace."""
        trace = self._folder / "trace.log"
        traced = (*(tracer() or ()), "-o", str(trace)) if tracer() else ()
        gate = (sys.executable, str(_SCRIPTS / "gate.py"))
        ran = subprocess.run(
            [*(namespace() or ()), *traced, *gate, *command],
            env=self._environment, capture_output=True, text=True, timeout=_LIMIT_S, check=False,
        )  # fmt: skip
        hook = self._hook_log.read_text().splitlines() if self._hook_log.exists() else []
        calls = outward_calls(trace.read_text(errors="replace")) if tracer() else None
        return Watched(ran.returncode, ran.stdout + ran.stderr, hook, calls)


@pytest.fixture
def air_gap(tmp_path: Path, toy_models: Path, capsys: pytest.CaptureFixture[str]) -> AirGap:
    if namespace() is None:
        pytest.skip("this system lets nobody make a network namespace (unshare -rn, unshare -n)")
    if tracer() is None:
        with capsys.disabled():
            sys.stdout.write("\n[air gap: strace is not here, watching by namespace and hook]\n")
    models = tmp_path / "models"
    shutil.copytree(toy_models, models)
    shutil.copy(REPOSITORY / "models" / "registry.toml", models)
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "LANG": "C.UTF-8",
        "PYTHONPATH": str(REPOSITORY),
        "MAGPIE_MODELS_DIR": str(models),
        "MAGPIE_INDEXES_DIR": str(tmp_path / "indexes"),
        "MAGPIE_MODEL": "toy",
    }
    return AirGap(tmp_path, environment)


def test_building_and_serving_open_no_connection_to_anywhere(
    air_gap: AirGap, pins_path: Path
) -> None:
    magpie = air_gap.wired(REPOSITORY / "service" / "__main__.py")
    workday = [sys.executable, str(_SCRIPTS / "workday.py"), orjson.dumps(magpie).decode()]
    # No other process shares this namespace, so that the port is free whatever runs outside.
    watched = air_gap.run([*workday, str(pins_path), "8000"])
    assert watched.returncode == 0, watched.output
    _, _, told = watched.output.partition("ANSWERS ")
    outcome: dict[str, Any] = orjson.loads(told.splitlines()[0])
    answered = {(method, path): status for method, path, status in outcome["answers"]}
    assert outcome["ended"] == 0
    assert max(answered.values()) < 500
    for route in ("/", "/livez", "/readyz", "/info", "/metrics", "/items/pin-17/similar"):
        assert answered["GET", route] == 200, route
    assert answered["GET", "/search?q=balcony+garden"] == 200
    assert answered["POST", "/recommend"] == 200
    assert answered["GET", "/nowhere"] == 404
    assert any(path.startswith("/web/") for _, path in answered)
    assert watched.hook == []
    assert watched.calls in ([], None)


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_an_attempt_to_get_out_is_caught_and_fails(air_gap: AirGap, attempt: str) -> None:
    watched = air_gap.run_code(ATTEMPTS[attempt])
    assert _UNREACHABLE in watched.output, watched.output
    assert bool(watched.hook) == (attempt in SEEN_BY_THE_HOOK)
    if watched.calls is not None:
        assert watched.calls
        assert all(_OUTSIDE in call for call in watched.calls)


def test_an_attempt_to_look_up_a_name_is_caught_and_fails(air_gap: AirGap) -> None:
    watched = air_gap.run_code(NAME_LOOKUP)
    assert "NUMBER" in watched.output
    assert watched.hook == ["socket.getaddrinfo 'hub.example.org'"]
