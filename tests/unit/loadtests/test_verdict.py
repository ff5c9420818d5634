from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from loadtests.measurement import Measurement, ScenarioFigures
from loadtests.traffic import SHARES
from loadtests.verdict import Budget, Budgets, Outcome, Verdict, judge

BUDGETS = Budgets(0.0, 0.8, {"search": Budget(p95_ms=50, p99_ms=100, min_requests=100)})
SEARCH = ScenarioFigures("search", 500, 0, 5.0, 4.0, 20.0, 60.0, 90.0)
GOOD = Measurement(seconds=10.0, generator_cpu=0.3, scenarios=(SEARCH,))


def with_search(**changes: Any) -> Measurement:
    return replace(GOOD, scenarios=(replace(SEARCH, **changes),))


def test_run_within_its_budgets_passes() -> None:
    assert judge(GOOD, BUDGETS) == Verdict(Outcome.PASSED)


@pytest.mark.parametrize(
    ("measured", "reason"),
    [
        (with_search(p95_ms=50.1), "search p95 50.1 ms > 50 ms"),
        (with_search(p99_ms=250.0), "search p99 250 ms > 100 ms"),
        (with_search(failures=1), "1 of 500 requests failed"),
        (with_search(name="unheard of"), "unheard of has no budget"),
    ],
)
def test_breach_fails_and_says_which(measured: Measurement, reason: str) -> None:
    verdict = judge(measured, BUDGETS)

    assert verdict.outcome is Outcome.BREACHED
    assert reason in verdict.reasons


def test_breach_needs_no_minimum_of_requests() -> None:
    assert judge(with_search(requests=3, p99_ms=250.0), BUDGETS).outcome is Outcome.BREACHED


@pytest.mark.parametrize(
    ("measured", "reason"),
    [
        (replace(GOOD, scenarios=()), "no request was made"),
        (replace(GOOD, generator_cpu=0.93), "the generator used 93% of a core"),
        (replace(GOOD, exceptions=("KeyError: 'x'",)), "exception in the load test itself"),
        (with_search(requests=99), "search: 99 requests, at least 100 are needed"),
    ],
)
def test_run_that_proves_nothing_is_invalid(measured: Measurement, reason: str) -> None:
    verdict = judge(measured, BUDGETS)

    assert verdict.outcome is Outcome.INVALID
    assert any(reason in each for each in verdict.reasons)


def test_untrusted_run_is_invalid_even_if_it_breaches() -> None:
    measured = replace(with_search(p99_ms=999.0), generator_cpu=1.0)

    assert judge(measured, BUDGETS).outcome is Outcome.INVALID


def test_exit_codes_are_what_scripts_rely_on() -> None:
    assert [outcome.value for outcome in Outcome] == [0, 1, 2]


def test_verdict_is_one_line() -> None:
    assert str(Verdict(Outcome.PASSED)) == "verdict: passed"
    assert str(Verdict(Outcome.BREACHED, ("a", "b"))) == "verdict: FAILED: a; b"
    assert str(Verdict(Outcome.INVALID, ("c",))) == "verdict: FAILED: invalid run: c"


def test_shipped_budgets_cover_every_scenario() -> None:
    budgets = Budgets.read(Path(__file__).parents[3] / "loadtests" / "budgets.toml")

    assert set(budgets.scenarios) == set(SHARES)
    assert budgets.max_failure_share == 0


def test_misspelt_budget_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "budgets.toml"
    path.write_text("max_failure_share = 0\nmax_generator_cpu = 1\np99 = 3\n[scenarios]\n")

    with pytest.raises(ValueError, match="p99"):
        Budgets.read(path)
