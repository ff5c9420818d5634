"""Whether a run met its budgets, and whether it may be judged at all."""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Self

from pydantic import ConfigDict, TypeAdapter

from loadtests.measurement import Measurement, ScenarioFigures


class Outcome(IntEnum):
    """How a run ended. The values are the exit codes."""

    PASSED = 0
    BREACHED = 1
    INVALID = 2


@dataclass(frozen=True, slots=True)
class Budget:
    """What one scenario may cost, and how many requests it takes to say so."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    p95_ms: float
    p99_ms: float
    min_requests: int


@dataclass(frozen=True, slots=True)
class Budgets:
    """Limits for a run; `scenarios` by name."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    max_failure_share: float
    max_generator_cpu: float
    scenarios: Mapping[str, Budget]

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a TOML file.

        Raises:
            OSError: no such file.
            ValueError: not TOML, or a key that is missing, unknown or of the wrong type.
        """
        return TypeAdapter(cls).validate_python(tomllib.loads(path.read_text(encoding="utf-8")))


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome and every reason against a pass."""

    outcome: Outcome
    reasons: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.outcome is Outcome.PASSED:
            return "verdict: passed"
        kind = "invalid run: " if self.outcome is Outcome.INVALID else ""
        return f"verdict: FAILED: {kind}{'; '.join(self.reasons)}"


def judge(measurement: Measurement, budgets: Budgets) -> Verdict:
    """Hold a run against its budgets.

    A run that cannot be trusted is invalid whatever it shows. A breach needs no minimum of
    requests, a pass does: too few of them prove nothing.
    """
    breaches = tuple(_breaches(measurement, budgets))
    untrusted = tuple(_untrusted(measurement, budgets))
    if untrusted:
        return Verdict(Outcome.INVALID, untrusted + breaches)
    if breaches:
        return Verdict(Outcome.BREACHED, breaches)
    unproven = tuple(_unproven(measurement, budgets))
    return Verdict(Outcome.INVALID, unproven) if unproven else Verdict(Outcome.PASSED)


def _untrusted(measurement: Measurement, budgets: Budgets) -> Iterator[str]:
    if not measurement.requests:
        yield "no request was made"
    for exception in measurement.exceptions:
        yield f"exception in the load test itself: {exception}"
    if measurement.generator_cpu > budgets.max_generator_cpu:
        yield (
            f"the generator used {measurement.generator_cpu:.0%} of a core, "
            f"more than {budgets.max_generator_cpu:.0%}: its latencies are its own"
        )


def _breaches(measurement: Measurement, budgets: Budgets) -> Iterator[str]:
    if measurement.failed > budgets.max_failure_share * measurement.requests:
        yield f"{measurement.failed} of {measurement.requests} requests failed"
    for scenario in measurement.scenarios:
        budget = budgets.scenarios.get(scenario.name)
        if budget is None:
            yield f"{scenario.name} has no budget"
            continue
        for name, found, allowed in (
            ("p95", scenario.p95_ms, budget.p95_ms),
            ("p99", scenario.p99_ms, budget.p99_ms),
        ):
            if found > allowed:
                yield f"{scenario.name} {name} {found:g} ms > {allowed:g} ms"


def _unproven(measurement: Measurement, budgets: Budgets) -> Iterator[str]:
    found: dict[str, ScenarioFigures] = {each.name: each for each in measurement.scenarios}
    for name, budget in budgets.scenarios.items():
        requests = found[name].requests if name in found else 0
        if requests < budget.min_requests:
            yield f"{name}: {requests} requests, at least {budget.min_requests} are needed"
