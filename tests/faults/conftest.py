"""How much of the fault tests runs, and what they did to the service, counted and printed."""

import os
from collections import Counter

import pytest

EVERYTHING = os.environ.get("FAULTS") == "all"
"""`make test-faults` sets it; without it a sample of the same cases runs."""

COUNTS: Counter[str] = Counter()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if COUNTS:
        terminalreporter.section("faults injected")
        for name, count in sorted(COUNTS.items()):
            terminalreporter.write_line(f"{count:>7,}  {name}")


@pytest.fixture(scope="session")
def everything() -> bool:
    """Whether every case runs, or a sample of them."""
    return EVERYTHING


@pytest.fixture(scope="session")
def counts() -> Counter[str]:
    """What was tried, for the summary."""
    return COUNTS
