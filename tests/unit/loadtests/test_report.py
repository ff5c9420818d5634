from io import StringIO

from rich.console import Console

from loadtests.measurement import Failure, Measurement, ScenarioFigures
from loadtests.report import print_report
from loadtests.verdict import Outcome, Verdict


def printed(measurement: Measurement, verdict: Verdict) -> str:
    output = StringIO()
    print_report(measurement, verdict, Console(file=output, width=40))
    return output.getvalue()


MEASURED = Measurement(
    seconds=10.0,
    generator_cpu=0.31,
    scenarios=(
        ScenarioFigures(
            *("search", 500, 2, 5.0, 4.0, 20.0, 60.0, 90.0, 50, 500),
            stages_ms={"total": 1000.0, "encode": 750.0},
            tiers={"miss": 125, "local": 375},
        ),
    ),
    failures=(Failure("search", "status 500, expected 200", 2),),
    indexes=("pins@1", "pins@2"),
    degraded={"cache_unavailable": 4},
)


def test_report_says_how_fast_and_where_the_time_went() -> None:
    text = printed(MEASURED, Verdict(Outcome.PASSED))

    rows = [line.split() for line in text.splitlines() if line.strip().startswith("search")]
    assert rows == [
        ["search", "500", "2", "50", "50.0", "5.00", "4", "20", "60", "90"],
        ["search", "2.00", "1.50", "3.00", "local", "75%,", "miss", "25%"],
    ]


def test_report_names_failures_versions_and_reasons() -> None:
    text = printed(MEASURED, Verdict(Outcome.PASSED))

    assert "failed 2 x search: status 500, expected 200" in text
    assert "degraded 4 of the checked: cache_unavailable" in text
    assert "index pins@1 then pins@2" in text


def test_verdict_is_the_last_line_however_long() -> None:
    verdict = Verdict(Outcome.BREACHED, tuple(f"reason number {n}" for n in range(30)))

    assert printed(MEASURED, verdict).splitlines()[-1] == str(verdict)


def test_run_without_requests_can_be_printed() -> None:
    nothing = Measurement(seconds=0.0, generator_cpu=0.0, scenarios=())

    assert "verdict" in printed(nothing, Verdict(Outcome.INVALID, ("no request was made",)))
