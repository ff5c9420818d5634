"""The generator: Locust users that send the traffic and check what comes back.

`python -m loadtests.run` starts it. It also works with Locust's own page:
`python -m locust -f loadtests/locustfile.py --web-host 127.0.0.1 --host http://127.0.0.1:8000`.
"""

import math
import time
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from random import Random
from typing import ClassVar

import gevent
import locust.stats
from locust import FastHttpUser, events
from locust.env import Environment

from loadtests.answers import body_fault, read_body, status_fault
from loadtests.catalogue import Catalogue, learn
from loadtests.measurement import Failure
from loadtests.recorder import Recorder
from loadtests.target import parse_target
from loadtests.traffic import Traffic, read_queries

_HERE = Path(__file__).parent
_JSON = {"content-type": "application/json"}
_ITEMS = 2000


def _bucket(milliseconds: float) -> float:
    """Three significant digits: Locust's whole milliseconds are too coarse for this service."""
    if milliseconds <= 0:
        return 0.0
    return round(milliseconds, 2 - math.floor(math.log10(milliseconds)))


locust.stats.bucket_response_time = _bucket


def _reason(error: BaseException) -> str:
    """Name a transport error without the URL in its text: reports hold nobody's queries."""
    return type(getattr(error, "original", None) or error).__name__


class Visitor(FastHttpUser):  # type: ignore[misc]
    """A product's backend, one connection of it: pages, searches and boards with short pauses.

    With the default pause each asks up to 20 times a second, so 20 of them up to 400 times: more
    than a million an hour.
    """

    network_timeout = 10.0
    connection_timeout = 10.0
    max_retries = 0
    insecure = False
    _numbers: ClassVar[Iterator[int]] = count()

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        options = environment.parsed_options
        self._chance = Random(f"{options.seed}/{next(self._numbers)}")
        self._traffic = Traffic(environment.catalogue, environment.queries, self._chance)
        self._recorder: Recorder = environment.recorder
        self._pause_s: float = options.pause_ms / 1000
        self._check_share: float = options.check_share

    def wait_time(self) -> float:
        """Pause for 50 to 150 % of the mean."""
        return self._pause_s * self._chance.uniform(0.5, 1.5)

    def visit(self) -> None:
        """Send one request and judge its answer."""
        call = self._traffic.next_call()
        is_checked = bool(call.expected.problems) or self._chance.random() < self._check_share
        with self.client.request(
            call.method,
            call.path,
            name=call.scenario,
            data=call.body,
            headers=_JSON if call.body is not None else None,
            allow_redirects=False,
            catch_response=True,
        ) as response:
            if not response.status_code:
                response.failure(f"no answer: {_reason(response.error)}")
                return
            self._recorder.add_timing(call.scenario, response.headers.get("server-timing", ""))
            fault = status_fault(call.expected, response.status_code)
            if fault is None and is_checked:
                answer = read_body(response.content or b"")
                fault = body_fault(call.expected, response.status_code, answer)
                self._recorder.add_checked(call.scenario, answer)
            if fault is None:
                response.success()
            else:
                response.failure(fault)

    tasks: ClassVar = [visit]


def add_options(parser: ArgumentParser) -> None:
    """Add our options to Locust's."""
    parser.add_argument("--seed", type=int, default=7, help="Decides who asks for what.")
    parser.add_argument("--pause-ms", type=float, default=50.0, help="Mean pause of a user.")
    parser.add_argument("--check-share", type=float, default=0.25, help="Share of bodies checked.")
    parser.add_argument("--catalogue", default="", help="What was learnt earlier; else learn now.")
    parser.add_argument("--measurement", default="", help="Where to write what was measured.")
    parser.add_argument("--i-own-this-host", action="store_true", help="Not a loopback address.")


def prepare(environment: Environment, **_: object) -> None:
    """Know what to ask for before the first user starts; an error here ends Locust."""
    options = environment.parsed_options
    target = parse_target(environment.host or "", is_owned=options.i_own_this_host)
    environment.queries = read_queries(_HERE / "queries.txt")
    environment.recorder = Recorder()
    if options.catalogue:
        environment.catalogue = Catalogue.read(Path(options.catalogue))
    else:
        environment.catalogue = learn(target, items=_ITEMS, seed=options.seed)
    # gevent counts a timer from when its loop last turned; without this the run would be shorter
    # by however long starting took.
    gevent.get_hub().loop.update_now()


def start(environment: Environment, **_: object) -> None:
    """Begin measuring with the first user."""
    environment.recorder.start(time.monotonic())


def stop(environment: Environment, **_: object) -> None:
    """End measuring when the last user has got its last answer."""
    environment.recorder.stop(time.monotonic())


def write_measurement(environment: Environment, **_: object) -> None:
    """Hand over what was measured."""
    if not environment.parsed_options.measurement:
        return
    counts: Counter[tuple[str, str]] = Counter()
    for error in environment.stats.errors.values():
        counts[error.name, str(error.error)] += error.occurrences
    failures = [Failure(scenario, what, number) for (scenario, what), number in counts.items()]
    exceptions = [row["msg"] for row in environment.runner.exceptions.values()]
    measured = environment.recorder.measurement(
        environment.stats.entries.values(), failures, exceptions
    )
    measured.write(Path(environment.parsed_options.measurement))


events.init_command_line_parser.add_listener(add_options)
events.init.add_listener(prepare)
events.test_start.add_listener(start)
events.test_stop.add_listener(stop)
events.quitting.add_listener(write_measurement)
