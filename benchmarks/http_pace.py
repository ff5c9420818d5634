"""Open-loop load from a process of its own: `python -m benchmarks.http_pace …`.

A request is due at its own moment, whether or not earlier ones were answered, and its latency
counts from that moment. `late_p99_us` says how late the generator itself was: where that is a good
part of a latency, the figure is the generator's own.
"""

import argparse
import asyncio
import gc
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import cycle, islice
from pathlib import Path
from random import Random

import uvloop

from benchmarks.http_servers import Server
from benchmarks.worker import ROOT
from loadtests.open_loop import fire
from loadtests.shots import Shots, poisson, steady
from loadtests.target import Target

_LEAD_IN_S = 0.5


@dataclass(frozen=True, slots=True)
class Paced:
    """What a run gave, without its first half second; latencies of the answers with 200."""

    rate: float
    answered: int
    failed: int
    p50_us: float
    p95_us: float
    p99_us: float
    late_p99_us: float


def pace(
    server: Server,
    bodies: Path,
    offset: int,
    *,
    rate: float,
    seconds: float,
    cores: str,
    arrivals: str = "steady",
) -> Paced:
    """Load a server from a process on other cores.

    Args:
        server: what to ask.
        bodies: a file of bodies of POST /recommend, one a line.
        offset: the line to begin with.
        rate: requests a second.
        seconds: how long.
        cores: for the generator.
        arrivals: `steady`, evenly spaced, or `poisson`, as independent callers come.
    """
    command = ["taskset", "-c", cores, sys.executable, "-m", "benchmarks.http_pace"]
    command += [str(server.port), str(bodies), str(offset), str(rate), str(seconds), arrivals]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, cwd=ROOT, timeout=120
    )
    return Paced(**json.loads(done.stdout))


def _requests(port: int, bodies: Path, offset: int) -> Iterator[bytes]:
    head = b"POST /recommend HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Type: application/json\r\n"
    whole = [
        (head + b"Content-Length: %d\r\n\r\n%b") % (port, len(line), line)
        for line in bodies.read_bytes().splitlines()
    ]
    return islice(cycle(whole), offset % len(whole), None)


def _summary(shots: Shots, rate: float, seconds: float) -> Paced:
    measured = shots.between(_LEAD_IN_S, _LEAD_IN_S + seconds)
    good = measured.with_status([200])
    return Paced(
        rate=rate,
        answered=len(good),
        failed=len(measured) - len(good),
        p50_us=good.latency_ms(0.5) * 1e3,
        p95_us=good.latency_ms(0.95) * 1e3,
        p99_us=good.latency_ms(0.99) * 1e3,
        late_p99_us=measured.late_ms(0.99) * 1e3,
    )


def main() -> None:
    """Send, wait for the last answer, print one line of JSON."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("port", type=int)
    options.add_argument("bodies", type=Path)
    options.add_argument("offset", type=int)
    options.add_argument("rate", type=float)
    options.add_argument("seconds", type=float)
    options.add_argument("arrivals", choices=("steady", "poisson"))
    given = options.parse_args()
    target = Target("http", "127.0.0.1", given.port)
    requests = _requests(given.port, given.bodies, given.offset)
    seconds = _LEAD_IN_S + given.seconds
    due = (
        steady(given.rate, seconds)
        if given.arrivals == "steady"
        else poisson(given.rate, seconds, Random(7))
    )
    # A collection over all requests takes longer than the latencies that are measured.
    gc.disable()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        shots = runner.run(fire(target, requests, due))
    print(json.dumps(asdict(_summary(shots, given.rate, given.seconds))))


if __name__ == "__main__":
    main()
