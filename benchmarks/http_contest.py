"""Who competes in the HTTP benchmark, and what each managed."""

import sys
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

import numpy as np

from benchmarks import http_catalogue as catalogue
from benchmarks import http_servers as servers
from benchmarks.http_cases import Bodies, usual_bodies, write_bodies
from benchmarks.http_servers import Server
from benchmarks.http_wrk import Rate, wrk

SERVER_CORE, LOAD_CORE = "0", "1"
CONNECTIONS = 32
TEXT_ITEMS = 30_000
CASES = ("hit", "redis", "item", "filter", "board", "text")
# Callers who never pause are an overload on purpose: none of them is to be sent away.
_PATIENT = {"MAGPIE_QUEUE_WAIT_S": "1"}
# More than a case answers in a second, so that no body is sent twice.
_TAKEN_PER_S = {"item": 8_000, "filter": 8_000, "board": 4_000, "text": 1_500}
_USUAL = "benchmarks.http_usual:create"


@dataclass(slots=True)
class Contender:
    """A server asked one kind of thing, and what it managed in each round.

    `tiers` counts where Magpie's answers came from, to show that a miss was one.
    """

    case: str
    role: str
    server: Server
    bodies: Bodies
    per_second: list[float] = field(default_factory=list)
    cpu_us: list[float] = field(default_factory=list)
    tiers: Counter[str] = field(default_factory=Counter)

    @property
    def rate(self) -> float:
        """Requests a second, the median of the rounds."""
        return float(np.median(self.per_second))

    @property
    def cost_us(self) -> float:
        """Processor microseconds of the server for a request, the median of the rounds."""
        return float(np.median(self.cpu_us))

    def first(self, count: int) -> int:
        """The line to send next, with `count` lines set aside; few lines are sent over and over."""
        return self.bodies.take(count) if self.case in _TAKEN_PER_S else 0

    def ask(self, seconds: int, connections: int = CONNECTIONS) -> Rate:
        """Ask as fast as answers come."""
        first = self.first(_TAKEN_PER_S.get(self.case, 0) * seconds)
        return wrk(
            self.server,
            self.bodies.path,
            first,
            seconds=seconds,
            connections=connections,
            cores=LOAD_CORE,
        )


class Fleet:
    """Servers that are started when they are first wanted, all on one core.

    Args:
        stack: ends them.
        items: how many the catalogue has.
    """

    def __init__(self, stack: ExitStack, items: int) -> None:
        self._stack = stack
        self._items = items
        self._started: dict[str, Server] = {}
        self._redis_url = ""
        self.bodies = write_bodies(catalogue.HOME / "bodies", items)

    def magpie(self) -> Server:
        """Magpie as it comes, without a Redis."""
        indexes = catalogue.prepare(self._items)
        return self._once("magpie", lambda: servers.magpie(indexes, SERVER_CORE, _PATIENT))

    def magpie_redis(self) -> Server:
        """Magpie with a Redis and no cache of its own, so that every hit is one of Redis."""
        settings = {"MAGPIE_REDIS_URL": self.redis_url(), "MAGPIE_CACHE_BYTES": "0", **_PATIENT}
        # Every answer: also one that it would be quicker to compute again.
        settings["MAGPIE_REDIS_MIN_COST_MS"] = "0"
        indexes = catalogue.prepare(self._items)
        return self._once("magpie redis", lambda: servers.magpie(indexes, SERVER_CORE, settings))

    def magpie_texts(self) -> Server:
        """Magpie over texts that the stand-in has encoded."""
        indexes = catalogue.prepare_texts(TEXT_ITEMS)
        return self._once("magpie texts", lambda: servers.magpie(indexes, SERVER_CORE, _PATIENT))

    def usual(self, **settings: str) -> Server:
        """The usual shape; see `http_usual.create` for its settings."""
        variables = {"USUAL_VERSION": str(catalogue.version_folder(self._items)), **settings}
        start = servers.asgi
        return self._once(f"usual {settings}", lambda: start(_USUAL, SERVER_CORE, variables))

    def bare(self, case: str) -> Server:
        """The ceiling: the bytes of Magpie's answer to the first body of a case."""
        path = catalogue.HOME / f"{case}.answer"
        path.write_bytes(self.magpie().post("/recommend", self.bodies[case].first())[0])
        variables, factory = {"BARE_BODY": str(path)}, "benchmarks.http_bare:create"
        return self._once(f"bare {case}", lambda: servers.asgi(factory, SERVER_CORE, variables))

    def redis_url(self) -> str:
        """A Redis on the core of the load."""
        if not self._redis_url:
            started = servers.redis(LOAD_CORE, catalogue.HOME)
            self._redis_url = self._stack.enter_context(started)
        return self._redis_url

    def contenders(self, case: str) -> list[Contender]:
        """Who competes in a case, the ceiling first."""
        bodies = self.bodies["hit" if case == "redis" else case]
        entries: list[tuple[str, Server]] = []
        if case == "text":
            return [Contender(case, "magpie", self.magpie_texts(), bodies)]
        entries.append(("ceiling", self.bare("board" if case == "board" else "item")))
        entries.append(("magpie", self.magpie_redis() if case == "redis" else self.magpie()))
        found = [Contender(case, role, server, bodies) for role, server in entries]
        if case != "board":
            settings = {"hit": {"USUAL_CACHE": "1"}, "redis": {"USUAL_REDIS": self._redis_url}}
            usual = self.usual(**settings.get(case, {}))
            found.append(Contender(case, "usual", usual, usual_bodies(bodies)))
        return found

    def _once(self, name: str, start: Callable[[], servers.Starting]) -> Server:
        if name not in self._started:
            print(f"starting {name}", file=sys.stderr, flush=True)
            self._started[name] = self._stack.enter_context(start())
        return self._started[name]


def measure(contenders: Sequence[Contender], rounds: int, seconds: int) -> None:
    """Ask in turn, once unmeasured to warm up, then round by round."""
    for number in range(rounds + 1):
        for each in contenders:
            is_ours = each.role == "magpie"
            known = servers.tiers(each.server) if is_ours else Counter()
            before = servers.cpu_seconds(each.server.pid)
            found = each.ask(seconds if number else 1)
            spent = servers.cpu_seconds(each.server.pid) - before
            if is_ours:
                each.tiers += servers.tiers(each.server) - known
            print(f"{number} {each.case} {each.role}: {found}", file=sys.stderr, flush=True)
            if number:
                each.per_second.append(found.per_second)
                each.cpu_us.append(spent / found.requests * 1e6)
