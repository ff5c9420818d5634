"""The Pixie line: a million items on two cores, Redis and the load on them as well.

    make bench-pixie        python -m benchmarks.http_pixie --items 1000000

Pinterest published 1,200 requests a second for a server at 60 ms p99 (Eksombatchai et al., WWW
2018). Here two workers of Magpie, their Redis and the generator share two cores. Each question is
asked once: an item, a board of ten, an item with a filter, an item with diversity, in turn.
"""

import argparse
import http.client
import threading
import time
from contextlib import ExitStack
from dataclasses import asdict
from datetime import UTC, datetime

import numpy as np

from benchmarks import http_catalogue as catalogue
from benchmarks import http_servers as servers
from benchmarks.http_cases import write_bodies
from benchmarks.http_contest import Contender
from benchmarks.http_pace import Paced, pace
from benchmarks.http_servers import Server
from benchmarks.report import Goal, table, write_json
from benchmarks.worker import ROOT

_BOTH = "0,1"
_WORKERS = 2
_RATE, _P99_MS = 1_200.0, 60.0
_PRIVATE_MB, _LAG_MS, _IDLE = 300.0, 10.0, 0.02
_IDLE_S = 10.0
_PROBE_EVERY_S = 0.01


class Probe:
    """Asks one server whether it lives, again and again, and notes how long that takes.

    What the loop does for `/livez` takes some 0.1 ms: the rest is waiting for its turn. So this is
    the lag of the event loop, and what two full cores take to wake a client on top of it.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.spent_ms: list[float] = []

    def __enter__(self) -> "Probe":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()

    def quantile_ms(self, share: float) -> float:
        """The time that a share of the probes did not exceed."""
        return float(np.quantile(self.spent_ms, share))

    def _run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._server.port, timeout=10)
        while not self._is_over.wait(_PROBE_EVERY_S):
            started = time.perf_counter()
            connection.request("GET", "/livez")
            connection.getresponse().read()
            self.spent_ms.append((time.perf_counter() - started) * 1e3)
        connection.close()


def idle_share(server: Server) -> float:
    """Share of a core that all processes of a server take while nobody asks."""
    pids = {server.pid, *servers.workers(server)}
    before = sum(map(servers.cpu_seconds, pids))
    time.sleep(_IDLE_S)
    return (sum(map(servers.cpu_seconds, pids)) - before) / _IDLE_S


def load_rows(runs: dict[str, Paced]) -> list[list[str]]:
    """One line for each kind of arrivals."""
    return [
        [
            arrivals,
            f"{run.rate:,.0f}",
            *[f"{us / 1e3:.2f}" for us in (run.p50_us, run.p95_us, run.p99_us, run.late_p99_us)],
            str(run.failed),
        ]
        for arrivals, run in runs.items()
    ]


def main() -> None:
    """Load, measure, print, write."""
    options = _parse()
    indexes = catalogue.prepare(options.items)
    bodies = write_bodies(catalogue.HOME / f"bodies-{options.items}", options.items)["mixed"]
    runs: dict[str, Paced] = {}
    lags: dict[str, float] = {}
    with ExitStack() as stack:
        settings = {"MAGPIE_REDIS_URL": stack.enter_context(servers.redis(_BOTH, catalogue.HOME))}
        started = servers.magpie(indexes, _BOTH, settings, f"--workers {_WORKERS}")
        server = stack.enter_context(started)
        servers.await_workers(server, _WORKERS)
        idle = idle_share(server)
        contender = Contender("mixed", "magpie", server, bodies)
        known = servers.tiers(server)
        for arrivals in ("warm up", "steady", "poisson"):
            seconds = options.seconds if runs or arrivals != "warm up" else 3.0
            first = contender.bodies.take(int(options.rate * (seconds + 1)))
            kind = "steady" if arrivals == "warm up" else arrivals
            with Probe(server) as probe:
                run = pace(
                    server,
                    bodies.path,
                    first,
                    rate=options.rate,
                    seconds=seconds,
                    cores=_BOTH,
                    arrivals=kind,
                )
            if arrivals != "warm up":
                runs[arrivals], lags[arrivals] = run, probe.quantile_ms(0.99)
        tiers = servers.tiers(server) - known
        # What is mapped is shared; what is private is each one's own.
        memory = [servers.memory_mb(pid) for pid in servers.workers(server)]
    heading = ["arrivals", "requests/s", "p50 ms", "p95 ms", "p99 ms", "generator late", "failed"]
    print(f"\n{options.items:,} items, two cores for service, Redis and load\n")
    print(table(heading, load_rows(runs)))
    print(f"\nanswered from: {dict(tiers)}")
    print("lag of the event loop, p99: " + ", ".join(f"{k} {v:.1f} ms" for k, v in lags.items()))
    print(f"idle: {idle:.1%} of a core")
    for sizes in memory:
        print("a worker: " + ", ".join(f"{k} {v:.0f} MB" for k, v in sizes.items()))
    private = max(sizes["private"] for sizes in memory)
    reached = [
        Goal(f"p99 ms at {options.rate:,.0f} requests/s", runs["steady"].p99_us / 1e3, _P99_MS,
             "at most"),
        Goal("the same, Poisson arrivals", runs["poisson"].p99_us / 1e3, _P99_MS, "at most"),
        Goal("requests failed", float(sum(run.failed for run in runs.values())), 0, "at most"),
        Goal("private MB of a worker", private, _PRIVATE_MB, "at most"),
        Goal("event-loop lag p99, ms", lags["steady"], _LAG_MS, "at most"),
        Goal("share of a core while idle", idle, _IDLE, "at most"),
    ]  # fmt: skip
    print()
    for goal in reached:
        print(goal)
    figures = {
        "items": options.items,
        "workers": _WORKERS,
        "runs": {arrivals: asdict(run) for arrivals, run in runs.items()},
        "lag_p99_ms": lags,
        "idle_share": idle,
        "memory_mb": memory,
        "answered_from": dict(tiers),
    }
    path = ROOT / "docs" / "benchmarks" / "http-pixie.json"
    write_json(path, figures, reached, measured_at=datetime.now(UTC).isoformat(timespec="seconds"))


def _parse() -> argparse.Namespace:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--items", type=int, default=1_000_000)
    options.add_argument("--rate", type=float, default=_RATE)
    options.add_argument("--seconds", type=float, default=15.0)
    return options.parse_args()


if __name__ == "__main__":
    main()
