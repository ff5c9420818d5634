"""A run as tables for people."""

from collections.abc import Iterable

from rich import box
from rich.console import Console
from rich.table import Table

from loadtests.measurement import Measurement, ScenarioFigures
from loadtests.verdict import Verdict

_FAILURES_SHOWN = 10
_WIDTH_MIN = 110


def print_report(measurement: Measurement, verdict: Verdict, console: Console) -> None:
    """Print figures, where the time went, what failed, and the verdict as the last line."""
    console.width = max(console.width, _WIDTH_MIN)
    console.print(_latency_table(measurement))
    if any(scenario.stages_ms for scenario in measurement.scenarios):
        console.print(_stage_table(measurement.scenarios))
    for failure in sorted(measurement.failures, key=lambda each: -each.count)[:_FAILURES_SHOWN]:
        console.print(f"failed {failure.count} x {failure.scenario}: {failure.what}", markup=False)
    for reason, count in measurement.degraded.items():
        console.print(f"degraded {count} of the checked: {reason}", markup=False)
    console.print(
        f"{measurement.seconds:.1f} s, generator {measurement.generator_cpu:.0%} of a core, "
        f"index {' then '.join(measurement.indexes) or 'not seen'}",
        markup=False,
    )
    print_verdict(verdict, console)


def print_verdict(verdict: Verdict, console: Console) -> None:
    """Print the verdict on one line, however long."""
    console.print(str(verdict), markup=False, soft_wrap=True)


def _latency_table(measurement: Measurement) -> Table:
    table = Table(
        title="Latency in ms, as the caller sees it", title_justify="left", box=box.SIMPLE_HEAD
    )
    table.add_column("scenario")
    for heading in ("requests", "failed", "checked", "per s", "mean", "p50", "p95", "p99", "max"):
        table.add_column(heading, justify="right")
    for scenario in measurement.scenarios:
        table.add_row(
            scenario.name,
            *(str(count) for count in (scenario.requests, scenario.failures, scenario.checked)),
            _per_second(scenario.requests, measurement),
            f"{scenario.mean_ms:.2f}",
            *(
                f"{value:.4g}"
                for value in (scenario.p50_ms, scenario.p95_ms, scenario.p99_ms, scenario.max_ms)
            ),
        )
    table.add_section()
    checked = sum(scenario.checked for scenario in measurement.scenarios)
    table.add_row(
        "all",
        *(str(count) for count in (measurement.requests, measurement.failed, checked)),
        _per_second(measurement.requests, measurement),
    )
    return table


def _per_second(requests: int, measurement: Measurement) -> str:
    return f"{requests / measurement.seconds:.1f}" if measurement.seconds else "-"


def _stage_table(scenarios: Iterable[ScenarioFigures]) -> Table:
    """Mean over all answers of a scenario, so that stages add up; `outside` is the way there."""
    timed = [scenario for scenario in scenarios if scenario.timed]
    stages = list(dict.fromkeys(name for each in timed for name in each.stages_ms))
    table = Table(
        title="Where it went: mean ms per answer, by Server-Timing",
        title_justify="left",
        box=box.SIMPLE_HEAD,
    )
    table.add_column("scenario")
    for name in stages:
        table.add_column(name, justify="right")
    table.add_column("outside", justify="right")
    table.add_column("answered by")
    for each in timed:
        means = {name: each.stages_ms.get(name, 0.0) / each.timed for name in stages}
        tiers = sorted(each.tiers.items(), key=lambda pair: -pair[1])
        table.add_row(
            each.name,
            *(f"{means[name]:.2f}" if name in each.stages_ms else "" for name in stages),
            f"{max(each.mean_ms - means.get('total', 0.0), 0.0):.2f}",
            ", ".join(f"{tier} {count / each.timed:.0%}" for tier, count in tiers),
        )
    return table
