"""What a run measured, as plain values: written by a generator, read by the verdict."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Self

from pydantic import ConfigDict, TypeAdapter


@dataclass(frozen=True, slots=True)
class ScenarioFigures:
    """One scenario of a run, latencies as the caller saw them, failed requests included.

    `stages_ms` sums the service's own Server-Timing by stage over `timed` answers; `tiers` counts
    where those answers came from; `checked` says how many bodies were looked at.
    """

    name: str
    requests: int
    failures: int
    mean_ms: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float
    checked: int = 0
    timed: int = 0
    stages_ms: Mapping[str, float] = field(default_factory=dict)
    tiers: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Failure:
    """One way in which requests of one scenario failed, and how often."""

    scenario: str
    what: str
    count: int


@dataclass(frozen=True, slots=True)
class Measurement:
    """A whole run. `generator_cpu` is the generator's own use, 1.0 being one core."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    seconds: float
    generator_cpu: float
    scenarios: tuple[ScenarioFigures, ...]
    failures: tuple[Failure, ...] = ()
    exceptions: tuple[str, ...] = ()
    """Errors in the load test's own code: nothing measured beside them can be trusted."""
    indexes: tuple[str, ...] = ()
    """Index versions that answered; more than one when a new one went live during the run."""
    degraded: Mapping[str, int] = field(default_factory=dict)
    """How many of the checked answers gave each reason for being less than asked."""

    @property
    def requests(self) -> int:
        """Requests that were answered or failed."""
        return sum(scenario.requests for scenario in self.scenarios)

    @property
    def failed(self) -> int:
        """Requests that got no answer, or a wrong one."""
        return sum(scenario.failures for scenario in self.scenarios)

    def write(self, path: Path) -> None:
        """Store as JSON."""
        path.write_bytes(TypeAdapter(type(self)).dump_json(self, indent=2))

    def write_csv(self, path: Path) -> None:
        """Store the figures of the scenarios, one a row.

        Locust's own CSV files end up to a second before the run does.
        """
        nested = ("stages_ms", "tiers")
        names = [each.name for each in fields(ScenarioFigures) if each.name not in nested]
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(names)
            writer.writerows([getattr(row, name) for name in names] for row in self.scenarios)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read what `write` stored.

        Raises:
            OSError: no such file.
            ValueError: another form.
        """
        return TypeAdapter(cls).validate_json(path.read_bytes())


def percentile(histogram: Mapping[float, int], share: float) -> float:
    """Value that `share` of the observations do not exceed, by nearest rank; 0.0 of none.

    Args:
        histogram: value to how often it was seen.
        share: in (0, 1].
    """
    wanted = share * sum(histogram.values())
    seen = 0
    for value in sorted(histogram):
        seen += histogram[value]
        if seen >= wanted:
            return value
    return 0.0
