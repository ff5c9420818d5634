"""Schemathesis asks a real service all that its OpenAPI document allows, and what it forbids."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from service.access.key_file import KeyFile
from service.access.keys import new_key
from tests.conftest import build_pins

FOLDER = Path(__file__).parent
EVERYTHING = os.environ.get("FAULTS") == "all"
PHASES = "examples,coverage,fuzzing,stateful"
# Seed, phases, examples an operation, and how many cases they make at least. Examples and coverage
# follow from the document alone, so further seeds have no other ones.
RUNS = [(1, PHASES, 10, 2_000)]
if EVERYTHING:
    by_chance = "fuzzing,stateful"
    RUNS = [(1, PHASES, 100, 7_000), *((seed, by_chance, 200, 2_000) for seed in range(2, 9))]
NOW = datetime(2026, 11, 25, tzinfo=UTC)


@dataclass(frozen=True)
class Running:
    url: str
    key: str


@pytest.fixture
def service(tmp_path: Path, toy_models: Path, pins_path: Path) -> Iterator[Running]:
    """A writable service of the sample pins behind keys, and an admin's key."""
    build_pins(pins_path, toy_models, tmp_path / "indexes", now=NOW)
    file = KeyFile.new()
    made, secret = new_key("fuzz", "admin", None, pepper=file.pepper, now=NOW)
    file.with_key(made).write(tmp_path / "keys.json")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environ = {
        **os.environ,
        "MAGPIE_MODELS_DIR": str(toy_models),
        "MAGPIE_INDEXES_DIR": str(tmp_path / "indexes"),
        "MAGPIE_KEYS_FILE": str(tmp_path / "keys.json"),
        "MAGPIE_WRITABLE": "true",
        # What comes is odd, not urgent, and much of it is stored.
        "MAGPIE_REQUEST_TIMEOUT_S": "60",
        "MAGPIE_FRESH_ITEMS_MAX": "1000000",
    }
    command = [sys.executable, "-m", "service", "serve", "pins", "--port", str(port)]
    with (tmp_path / "service.log").open("wb") as log:
        process = subprocess.Popen(command, env=environ, stdout=log, stderr=log)
    try:
        wait_for(f"http://127.0.0.1:{port}/readyz", process)
        yield Running(f"http://127.0.0.1:{port}", secret)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


def wait_for(url: str, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        assert process.poll() is None, "the service ended at once"
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.05)
    raise AssertionError("the service was not ready in 30 s")


@pytest.mark.parametrize(("seed", "phases", "examples", "cases"), RUNS)
def test_nothing_that_can_be_asked_makes_the_service_fail_or_leave_its_document(
    service: Running, tmp_path: Path, seed: int, phases: str, examples: int, cases: int
) -> None:
    report_path = tmp_path / "report.json"
    told = subprocess.run(
        [
            sys.executable, "-m", "schemathesis.cli",
            "--config-file", str(FOLDER / "schemathesis.toml"),
            "run", f"{service.url}/openapi.json",
            "--header", f"Authorization: Bearer {service.key}",
            "--checks", "all", "--phases", phases,
            "--max-examples", str(examples), "--seed", str(seed), "--no-color",
            "--report", "json", "--report-json-path", str(report_path),
        ],
        cwd=tmp_path,
        env={**os.environ, "SCHEMATHESIS_HOOKS": "checks", "PYTHONPATH": str(FOLDER)},
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    assert report_path.exists(), told.stdout + told.stderr
    report: dict[str, Any] = json.loads(report_path.read_text())
    found = "\n".join(line[:2000] for line in told.stdout.splitlines())
    assert told.returncode == 0, found
    assert report["failures"] == report["errors"] == []
    assert report["operations"]["tested"] == report["operations"]["total"]
    succeeded = [name for name, phase in report["phases"].items() if phase["status"] == "success"]
    assert len(succeeded) == len(phases.split(","))
    assert report["test_cases"]["generated"] >= cases
    print(json.dumps(report["test_cases"]))  # noqa: T201 - the figure, with -s
