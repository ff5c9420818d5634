"""What one worker does when more is asked than it can answer: `make bench-overload`.

The service has one core, the generator the other. Nothing is cached, so every request has to be
computed: an item, a board of ten, an item with a filter, an item with diversity, and a search, in
turn. Arrivals are random and wait for nobody; latency counts from when a request was due.
"""

import argparse
import asyncio
import gc
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import cycle, islice, repeat
from pathlib import Path
from random import Random

import uvloop

from benchmarks import http_catalogue as catalogue
from benchmarks import http_servers as servers
from benchmarks.http_cases import write_bodies
from benchmarks.http_servers import Server
from benchmarks.report import Goal, table, write_json
from benchmarks.worker import ROOT
from loadtests.answers import Expected
from loadtests.open_loop import encode_call, fire
from loadtests.shots import Shots, poisson, steady
from loadtests.target import Target
from loadtests.traffic import Call

DEADLINE_S = 0.25
ITEMS = 30_000
_SERVICE_CORE, _GENERATOR_CORE = 0, 1
_KINDS = 5
"""Of five questions one is a search."""
_CLOSED_CONNECTIONS = 32
_OPEN_CONNECTIONS = 512
_PROBES_PER_S = 10.0
_SETTLED_S = 5.0
_STEPS = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4)


@dataclass(frozen=True, slots=True)
class Phase:
    """One part of the run. Rates are a second; `good` are answers with 200 within the deadline."""

    name: str
    rate: float
    seconds: float
    good: float
    good_texts: float
    """Searches among them."""
    refused: float
    failed: int
    """Neither 200 nor 503."""
    p50_ms: float
    p99_ms: float
    refusal_p99_ms: float
    livez_max_ms: float
    rss_mb: float
    service_cpu: float
    """Share of its core that the service had."""
    late_p99_ms: float
    """How late the generator itself was: so much of a latency is its own."""


class Overload:
    """A run against one service, phase after phase."""

    def __init__(self, server: Server, requests: list[bytes]) -> None:
        self._server = server
        self._target = Target("http", "127.0.0.1", server.port)
        self._requests = requests
        self._sent = 0
        self._chance = Random(11)
        self.phases: list[Phase] = []

    async def ceiling(self, requests: int = 4000) -> float:
        """Answers a second when a few clients ask as fast as they are answered."""
        shots = await fire(
            self._target,
            self._take(requests),
            [0.0] * requests,
            connections=_CLOSED_CONNECTIONS,
        )
        return requests / float(shots.latency_s.max())

    async def capacity(self, ceiling: float, seconds: float) -> float:
        """The highest rate that is answered as it should be: all of it, 99 % in time."""
        for step in _STEPS:
            phase, _ = await self.load(f"{step:.2f} of closed loop", ceiling * step, seconds)
            if phase.p99_ms <= DEADLINE_S * 1e3 and phase.good >= 0.999 * phase.rate:
                return phase.rate
        raise SystemExit("No rate is answered in time: is something else running here?")

    async def load(self, name: str, rate: float, seconds: float) -> tuple[Phase, Shots]:
        """Send at a rate, and probe liveness meanwhile."""
        due = poisson(rate, seconds, self._chance)
        probe = f"GET /livez HTTP/1.1\r\nHost: {self._target.host}\r\n\r\n".encode()
        gc.collect()
        # A collection over all requests takes longer than the latencies that are measured.
        gc.disable()
        served, began = servers.cpu_seconds(self._server.pid), time.monotonic()
        shots, probes = await asyncio.gather(
            fire(self._target, self._take(len(due)), due, connections=_OPEN_CONNECTIONS),
            fire(self._target, repeat(probe), steady(_PROBES_PER_S, seconds)),
        )
        spent = time.monotonic() - began
        used = (servers.cpu_seconds(self._server.pid) - served) / spent
        phase = self._phase(name, seconds, shots, probes, used)
        gc.enable()
        self.phases.append(phase)
        print(" ".join(cell.rjust(14) for cell in _cells(phase)), flush=True)
        return phase, shots

    def _take(self, count: int) -> Iterator[bytes]:
        first, self._sent = self._sent, self._sent + count + -count % _KINDS
        return islice(cycle(self._requests), first % len(self._requests), None)

    def _phase(
        self, name: str, seconds: float, shots: Shots, probes: Shots, service_cpu: float
    ) -> Phase:
        accepted, refused = shots.with_status([200]), shots.with_status([503])
        return Phase(
            name=name,
            rate=len(shots) / seconds,
            seconds=seconds,
            good=shots.good(DEADLINE_S) / seconds,
            good_texts=shots.every(_KINDS, _KINDS - 1).good(DEADLINE_S) / seconds,
            refused=len(refused) / seconds,
            failed=len(shots) - len(accepted) - len(refused),
            p50_ms=accepted.latency_ms(0.5),
            p99_ms=accepted.latency_ms(0.99),
            refusal_p99_ms=refused.latency_ms(0.99),
            livez_max_ms=probes.latency_ms(1.0),
            rss_mb=servers.memory_mb(self._server.pid)["rss"],
            service_cpu=service_cpu,
            late_p99_ms=shots.late_ms(0.99),
        )


async def measure(run: Overload, seconds: float, capacity: float | None) -> list[Goal]:
    """Find the capacity unless it is known, go beyond it, and look how fast all is as it was."""
    await run.ceiling()
    ceiling = await run.ceiling()
    print(f"closed loop: {ceiling:.0f} requests a second\n{_HEADING}", flush=True)
    if capacity is None:
        capacity = await run.capacity(ceiling, seconds / 3)
    before, _ = await run.load("0.5 C", capacity / 2, seconds / 2)
    goals: list[Goal] = []
    for factor, share, duration in ((2, 0.9, seconds), (10, 0.75, seconds / 2)):
        over, _ = await run.load(f"{factor} C", capacity * factor, duration)
        after, shots = await run.load(f"0.5 C after {factor} C", capacity / 2, 2 * _SETTLED_S)
        settled = shots.between(_SETTLED_S, 2 * _SETTLED_S).latency_ms(0.99)
        name = f"overload {factor} C"
        goals += [
            Goal(f"{name}: good answers, share of C", over.good / capacity, share),
            Goal(f"{name}: p99 of answers, ms", over.p99_ms, DEADLINE_S * 1e3, "at most"),
            Goal(f"{name}: p99 of refusals, ms", over.refusal_p99_ms, 20, "at most"),
            Goal(f"{name}: neither answered nor refused", over.failed, 0, "at most"),
            Goal(f"{name}: slowest /livez, ms", over.livez_max_ms, 200, "at most"),
            Goal(f"{name}: memory, of before", over.rss_mb / before.rss_mb, 1.2, "at most"),
            Goal(f"{name}: p99 5 s later, of before", settled / before.p99_ms, 1.2, "at most"),
            Goal(f"{name}: failed afterwards", after.failed, 0, "at most"),
        ]
    return goals


_COLUMNS = ("phase", "rate/s", "good/s", "searches", "refused/s", "failed", "p50 ms", "p99 ms",
            "refusal p99", "livez max", "RSS MB", "CPU", "late p99")  # fmt: skip
_HEADING = " ".join(name.rjust(14) for name in _COLUMNS)


def _cells(phase: Phase) -> list[str]:
    figures = (phase.p50_ms, phase.p99_ms, phase.refusal_p99_ms, phase.livez_max_ms)
    return [
        phase.name, f"{phase.rate:.0f}", f"{phase.good:.0f}", f"{phase.good_texts:.0f}",
        f"{phase.refused:.0f}", str(phase.failed), *(f"{each:.1f}" for each in figures),
        f"{phase.rss_mb:.0f}", f"{phase.service_cpu:.0%}",
        f"{phase.late_p99_ms:.1f}",
    ]  # fmt: skip


def _encoded(target: Target) -> list[bytes]:
    """All requests of the mix, each fifth a search."""
    bodies = write_bodies(catalogue.HOME / f"bodies-{ITEMS}", ITEMS)
    mixed = bodies["mixed"].path.read_bytes().splitlines()
    texts = cycle(bodies["text"].path.read_bytes().splitlines())
    found: list[bytes] = []
    for start in range(0, len(mixed) - len(mixed) % (_KINDS - 1), _KINDS - 1):
        found += [*mixed[start : start + _KINDS - 1], next(texts)]
    return [
        encode_call(Call("mixed", "POST", "/recommend", body, Expected()), target) for body in found
    ]


def main() -> None:
    """Run it, print it, write the figures."""
    parser = argparse.ArgumentParser(prog="benchmarks.overload", description=__doc__)
    parser.add_argument("--seconds", type=float, default=20, help="of 2 C; half as long of 10 C")
    parser.add_argument(
        "--capacity", type=float, help="requests a second, where an idle machine has shown it"
    )
    parser.add_argument("--into", type=Path, default=ROOT / "docs/benchmarks/overload.json")
    options = parser.parse_args()
    indexes = catalogue.prepare_texts(ITEMS)
    os.sched_setaffinity(0, {_GENERATOR_CORE})
    with servers.magpie(indexes, str(_SERVICE_CORE), {"MAGPIE_CACHE_BYTES": "0"}) as server:
        run = Overload(server, _encoded(Target("http", "127.0.0.1", server.port)))
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            goals = runner.run(measure(run, options.seconds, options.capacity))
        deaths = 0 if Path(f"/proc/{server.pid}").exists() else 1
    goals.append(Goal("worker deaths", deaths, 0, "at most"))
    print("\n" + table(_COLUMNS, [_cells(phase) for phase in run.phases]) + "\n")
    print(*goals, sep="\n")
    figures = {"items": ITEMS, "phases": [asdict(each) for each in run.phases]}
    now = datetime.now(UTC).isoformat(timespec="seconds")
    write_json(options.into, figures, goals, measured_at=now)


if __name__ == "__main__":
    main()
