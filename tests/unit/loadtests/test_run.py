"""The load test tried out: real Locust against a real server that is right, slow, or wrong.

Locust runs in a process of its own, because gevent rewrites the standard library around it.
"""

import csv
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from loadtests.measurement import Measurement

ROOT = Path(__file__).parents[3]

# Wide enough for any machine, but far below the slow server's delay.
BUDGETS = """
max_failure_share = 0.0
max_generator_cpu = {max_generator_cpu}
[scenarios]
"item page" = {{ p95_ms = 5000, p99_ms = 5000, min_requests = 1 }}
"search" = {{ p95_ms = 5000, p99_ms = {search_p99_ms}, min_requests = 1 }}
"board" = {{ p95_ms = 5000, p99_ms = 5000, min_requests = 1 }}
"home page" = {{ p95_ms = 5000, p99_ms = 5000, min_requests = 1 }}
"bad input" = {{ p95_ms = 5000, p99_ms = 5000, min_requests = 1 }}
"""


@dataclass
class Finished:
    code: int
    output: str
    folder: Path

    @property
    def verdict(self) -> str:
        return self.output.splitlines()[-1]


Serve = Callable[..., str]
Load = Callable[..., Finished]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def load_(
        url: str, *options: str, search_p99_ms: float = 5000, max_generator_cpu: float = 10
    ) -> Finished:
        budgets = tmp_path / "budgets.toml"
        budgets.write_text(
            BUDGETS.format(search_p99_ms=search_p99_ms, max_generator_cpu=max_generator_cpu)
        )
        command = [sys.executable, "-m", "loadtests.run", "--host", url, "--duration", "1"]
        command += ["--users", "8", "--pause-ms", "20", "--check-share", "1"]
        command += ["--budgets", str(budgets), "--reports", str(tmp_path / "reports"), *options]
        ended = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
        )
        folders = sorted((tmp_path / "reports").glob("*"))
        return Finished(ended.returncode, ended.stdout, folders[-1] if folders else tmp_path)

    return load_


def test_right_service_passes_and_leaves_its_reports(serve: Serve, load: Load) -> None:
    finished = load(serve())

    assert (finished.code, finished.verdict) == (0, "verdict: passed")
    assert json.loads((finished.folder / "verdict.json").read_text())["outcome"] == "passed"
    measured = json.loads((finished.folder / "measurement.json").read_text())
    assert {row["name"] for row in measured["scenarios"]} == {
        *("item page", "search", "board", "home page", "bad input")
    }
    assert all(row["failures"] == 0 for row in measured["scenarios"])
    assert measured["indexes"] == ["fake@1"]
    with (finished.folder / "scenarios.csv").open() as rows:
        requests = {row["name"]: int(row["requests"]) for row in csv.DictReader(rows)}
    assert requests == {row["name"]: row["requests"] for row in measured["scenarios"]}
    assert "<html" in (finished.folder / "report.html").read_text()


def test_slow_service_breaches_its_budget(serve: Serve, load: Load) -> None:
    finished = load(serve(size=60, delay_s=0.3), search_p99_ms=200)

    assert finished.code == 1
    assert "search p99" in finished.verdict
    assert finished.verdict.startswith("verdict: FAILED: ")


def test_errors_silence_and_wrong_answers_breach(serve: Serve, load: Load) -> None:
    finished = load(serve(behaviour="wrong"))

    assert finished.code == 1
    assert "requests failed" in finished.verdict
    assert "search: status 500, expected 200" in finished.output
    assert "item page: body: an item twice" in finished.output
    assert "home page: no answer: " in finished.output


def test_generator_at_its_own_limit_makes_the_run_invalid(serve: Serve, load: Load) -> None:
    finished = load(serve(), max_generator_cpu=0)

    assert finished.code == 2
    assert "invalid run: the generator used" in finished.verdict


def test_unreachable_service_makes_the_run_invalid(load: Load) -> None:
    finished = load("http://127.0.0.1:9")

    assert finished.code == 2
    assert "http://127.0.0.1:9 does not answer" in finished.verdict


def test_other_peoples_hosts_are_not_touched(load: Load) -> None:
    finished = load("http://192.0.2.1:8000")

    assert finished.code == 2
    assert "--i-own-this-host" in finished.verdict


def test_errors_in_the_load_tests_own_code_are_not_lost(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text(
        "from loadtests.locustfile import Visitor\n"
        "def visit(user): raise LookupError('our own mistake')\n"
        "Visitor.tasks = [visit]\n"
    )
    command = [sys.executable, "-m", "locust", "-f", str(tmp_path / "broken.py"), "--headless"]
    command += ["--users", "1", "--run-time", "1s", "--host", serve(size=60)]
    command += ["--measurement", str(tmp_path / "measurement.json")]

    subprocess.run(command, cwd=ROOT, capture_output=True, timeout=60, check=False)

    assert Measurement.read(tmp_path / "measurement.json").exceptions == ("our own mistake",)
