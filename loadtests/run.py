"""`make load`: aim, learn what to ask for, run Locust, judge, say so.

Exit codes: 0 passed, 1 a budget was breached, 2 the run is invalid and says nothing either way.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from loadtests.catalogue import CannotLearn, learn
from loadtests.measurement import Measurement
from loadtests.report import print_report, print_verdict
from loadtests.target import Target, TargetRefused, parse_target
from loadtests.verdict import Budgets, Outcome, Verdict, judge

_HERE = Path(__file__).resolve().parent
# Longer than a user waits for an answer, so that a hung request is counted and not forgotten.
_DRAIN_S = 12
_GRACE_S = 60


class RunFailed(Exception):
    """The generator ended without a measurement."""


def main(arguments: Sequence[str] | None = None, *, now: datetime | None = None) -> int:
    """Run a load test and return its exit code.

    Args:
        arguments: command line, without the program's name.
        now: names the report folder; the current time if absent.
    """
    options = _parser().parse_args(arguments)
    console = Console()
    try:
        target = parse_target(options.host, is_owned=options.i_own_this_host)
        budgets = Budgets.read(options.budgets)
        folder = _prepare(target, options, now or datetime.now(UTC))
        console.print(
            f"{options.users} users for {options.duration} s against {target.url}", markup=False
        )
        measurement = _generate(target, options, folder)
    except (TargetRefused, CannotLearn, RunFailed) as error:
        verdict = Verdict(Outcome.INVALID, (str(error),))
        print_verdict(verdict, console)
        return int(verdict.outcome)
    verdict = judge(measurement, budgets)
    measurement.write_csv(folder / "scenarios.csv")
    _write_verdict(folder, verdict)
    console.print(f"report: {folder}", markup=False, soft_wrap=True)
    print_report(measurement, verdict, console)
    return int(verdict.outcome)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="loadtests.run", description=__doc__)
    parser.add_argument("--host", default="http://127.0.0.1:8000", help="root of the service")
    parser.add_argument("--users", type=_positive, default=20, help="connections at once")
    parser.add_argument("--duration", type=_positive, default=30, help="seconds")
    parser.add_argument("--pause-ms", type=float, default=50.0, help="mean pause between requests")
    parser.add_argument("--items", type=_positive, default=2000, help="how many ids to learn")
    parser.add_argument("--seed", type=int, default=7, help="decides who asks for what")
    parser.add_argument("--check-share", type=float, default=0.25, help="share of bodies checked")
    parser.add_argument("--budgets", type=Path, default=_HERE / "budgets.toml", help="limits, TOML")
    parser.add_argument("--reports", type=Path, default=_HERE / "reports", help="where they go")
    parser.add_argument(
        "--i-own-this-host", action="store_true", help="allow a host that is not this machine"
    )
    return parser


def _positive(text: str) -> int:
    if (number := int(text)) < 1:
        raise ValueError(text)
    return number


def _prepare(target: Target, options: argparse.Namespace, now: datetime) -> Path:
    """Learn the catalogue and keep it with the run, in a new folder."""
    catalogue = learn(target, items=options.items, seed=options.seed)
    name = now.astimezone(UTC).strftime("%Y-%m-%dT%H-%M-%S.%fZ")
    folder: Path = options.reports.resolve() / name
    folder.mkdir(parents=True)
    catalogue.write(folder / "catalogue.json")
    return folder


def _generate(target: Target, options: argparse.Namespace, folder: Path) -> Measurement:
    """Run Locust to its end.

    It has a process of its own: gevent rewrites the standard library it lives in, and what it
    uses of the processor is then the generator's alone.
    """
    with (folder / "locust.log").open("w", encoding="utf-8") as log:
        generator = subprocess.Popen(
            _command(target, options, folder), cwd=_HERE.parent, stdout=log, stderr=log
        )
        try:
            generator.wait(options.duration + _DRAIN_S + _GRACE_S)
        except subprocess.TimeoutExpired:
            raise RunFailed("the generator did not end; locust.log has its last words") from None
        except KeyboardInterrupt:
            # Locust got the interrupt as well and is writing what it has.
            generator.wait(_DRAIN_S + _GRACE_S)
        finally:
            if generator.poll() is None:
                generator.kill()
                generator.wait()
    try:
        return Measurement.read(folder / "measurement.json")
    except (OSError, ValueError):
        log_path = folder / "locust.log"
        last_words = log_path.read_text(encoding="utf-8").strip().rpartition("\n")[2]
        raise RunFailed(f"the generator measured nothing: {last_words} (see {log_path})") from None


def _command(target: Target, options: argparse.Namespace, folder: Path) -> list[str]:
    settings = {
        "--host": target.url,
        "--users": options.users,
        "--spawn-rate": options.users,
        "--run-time": f"{options.duration}s",
        "--stop-timeout": _DRAIN_S,
        "--html": folder / "report.html",
        "--seed": options.seed,
        "--pause-ms": options.pause_ms,
        "--check-share": options.check_share,
        "--catalogue": folder / "catalogue.json",
        "--measurement": folder / "measurement.json",
    }
    command = [sys.executable, "-m", "locust", "-f", str(_HERE / "locustfile.py")]
    command += ["--headless", "--only-summary"]
    for name, value in settings.items():
        command += [name, str(value)]
    return [*command, "--i-own-this-host"] if options.i_own_this_host else command


def _write_verdict(folder: Path, verdict: Verdict) -> None:
    stored = {**asdict(verdict), "outcome": verdict.outcome.name.lower()}
    text = json.dumps(stored, indent=2, ensure_ascii=False)
    (folder / "verdict.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
