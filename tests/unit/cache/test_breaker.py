import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.cache.breaker import Breaker


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker(max_failures=3, max_failing_s=0.5, probe_every_s=1.0, clock=clock)


def open_it(breaker: Breaker) -> None:
    for _ in range(3):
        breaker.fail()
    assert breaker.state == "open"


def test_opens_after_that_many_failures_in_a_row_and_says_so_once(breaker: Breaker) -> None:
    assert [breaker.fail() for _ in range(5)] == [False, False, True, False, False]
    assert breaker.state == "open"


def test_one_answer_starts_the_count_anew(breaker: Breaker) -> None:
    breaker.fail()
    breaker.fail()
    assert breaker.succeed() is False
    breaker.fail()
    breaker.fail()
    assert breaker.state == "closed"


def test_slow_traffic_opens_it_within_a_second_of_failing(breaker: Breaker, clock: Clock) -> None:
    breaker.fail()
    clock.now += 0.5
    assert breaker.fail() is True


def test_open_admits_nobody_before_the_probe_is_due(breaker: Breaker, clock: Clock) -> None:
    open_it(breaker)
    clock.now += 0.99
    assert not any(breaker.admit() for _ in range(100))


def test_one_probe_a_second_however_many_ask(breaker: Breaker, clock: Clock) -> None:
    open_it(breaker)
    probes = 0
    for _ in range(1000):
        clock.now += 0.01
        if breaker.admit():
            probes += 1
            assert breaker.state == "half_open"
            breaker.fail()
    assert 9 <= probes <= 10


def test_answered_probe_closes_it_within_five_seconds_of_recovery(
    breaker: Breaker, clock: Clock
) -> None:
    open_it(breaker)
    clock.now += 1.0
    assert breaker.admit()
    assert breaker.succeed() is True
    assert breaker.state == "closed"
    assert breaker.admit()


def test_probe_that_never_reports_does_not_keep_it_open(breaker: Breaker, clock: Clock) -> None:
    open_it(breaker)
    clock.now += 1.0
    assert breaker.admit()
    assert not breaker.admit()
    clock.now += 1.0
    assert breaker.admit()


def test_answer_to_an_earlier_question_does_not_end_the_outage(breaker: Breaker) -> None:
    open_it(breaker)
    assert breaker.succeed() is False
    assert breaker.state == "open"


@settings(deadline=None)
@given(st.lists(st.sampled_from(["tick", "admit", "succeed", "fail"]), max_size=200))
def test_probes_are_never_closer_than_a_second(steps: list[str]) -> None:
    clock = Clock()
    breaker = Breaker(max_failures=3, probe_every_s=1.0, clock=clock)
    last_probe = 0.0
    for step in steps:
        if step == "tick":
            clock.now += 0.3
        elif step == "succeed":
            breaker.succeed()
        elif step == "fail":
            breaker.fail()
        elif breaker.state != "closed" and breaker.admit():
            assert clock.now - last_probe >= 1.0
            last_probe = clock.now
