"""Counts what Locust's own statistics have no room for, and turns both into a Measurement."""

import resource
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from loadtests.measurement import Failure, Measurement, ScenarioFigures, percentile
from loadtests.server_timing import parse_server_timing


class LocustEntry(Protocol):
    """What is read from Locust's statistics of one name and method."""

    @property
    def name(self) -> str: ...
    @property
    def num_requests(self) -> int: ...
    @property
    def num_failures(self) -> int: ...
    @property
    def total_response_time(self) -> float: ...
    @property
    def max_response_time(self) -> float: ...
    @property
    def response_times(self) -> Mapping[float, int]: ...


@dataclass(slots=True)
class _Extras:
    checked: int = 0
    timed: int = 0
    stages_ms: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    tiers: Counter[str] = field(default_factory=Counter)


class Recorder:
    """Collects over one run. Latencies and failures stay with Locust; the rest is here."""

    def __init__(self) -> None:
        self._extras: defaultdict[str, _Extras] = defaultdict(_Extras)
        self._indexes: set[str] = set()
        self._degraded: Counter[str] = Counter()
        self._started_s = self._started_cpu_s = 0.0
        self._seconds = self._cpu_s = 0.0

    def start(self, now_s: float) -> None:
        """Begin measuring, at a monotonic time."""
        self._started_s, self._started_cpu_s = now_s, _cpu_s()

    def stop(self, now_s: float) -> None:
        """End measuring."""
        self._seconds, self._cpu_s = now_s - self._started_s, _cpu_s() - self._started_cpu_s

    def add_timing(self, scenario: str, server_timing: str) -> None:
        """Add the Server-Timing header of one answer, if it has one."""
        if not server_timing:
            return
        extras = self._extras[scenario]
        extras.timed += 1
        for stage in parse_server_timing(server_timing):
            extras.stages_ms[stage.name] += stage.duration_ms or 0.0
            if stage.name == "cache" and stage.description:
                extras.tiers[stage.description] += 1

    def add_checked(self, scenario: str, answer: Mapping[str, object]) -> None:
        """Note a body that was looked at: its index version, and why it is less than asked."""
        self._extras[scenario].checked += 1
        index, degraded = answer.get("index"), answer.get("degraded")
        if isinstance(index, str):
            self._indexes.add(index)
        if isinstance(degraded, list):
            self._degraded.update(str(reason) for reason in degraded)

    def measurement(
        self,
        entries: Iterable[LocustEntry],
        failures: Iterable[Failure],
        exceptions: Iterable[str],
    ) -> Measurement:
        """Put a finished run together."""
        by_name: defaultdict[str, list[LocustEntry]] = defaultdict(list)
        for entry in entries:
            by_name[entry.name].append(entry)
        seconds = self._seconds
        return Measurement(
            seconds=round(seconds, 3),
            generator_cpu=round(self._cpu_s / seconds, 4) if seconds > 0 else 0.0,
            scenarios=tuple(self._figures(name, by_name[name]) for name in by_name),
            failures=tuple(failures),
            exceptions=tuple(exceptions),
            indexes=tuple(sorted(self._indexes)),
            degraded=dict(self._degraded),
        )

    def _figures(self, name: str, entries: list[LocustEntry]) -> ScenarioFigures:
        histogram: Counter[float] = Counter()
        for entry in entries:
            histogram.update(entry.response_times)
        requests = sum(entry.num_requests for entry in entries)
        total_ms = sum(entry.total_response_time for entry in entries)
        extras = self._extras[name]
        return ScenarioFigures(
            name=name,
            requests=requests,
            failures=sum(entry.num_failures for entry in entries),
            mean_ms=round(total_ms / requests, 3) if requests else 0.0,
            p50_ms=percentile(histogram, 0.50),
            p95_ms=percentile(histogram, 0.95),
            p99_ms=percentile(histogram, 0.99),
            max_ms=round(max((entry.max_response_time for entry in entries), default=0.0), 3),
            checked=extras.checked,
            timed=extras.timed,
            stages_ms={stage: round(total, 3) for stage, total in extras.stages_ms.items()},
            tiers=dict(extras.tiers),
        )


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
