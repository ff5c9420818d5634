"""What stands between a process and traffic."""

from service.api.readiness import Readiness


def test_a_process_is_unready_until_it_has_answered_once() -> None:
    """G44: index, model and caches are warm before traffic comes."""
    readiness = Readiness()
    assert readiness.obstacles() == ["starting"]
    readiness.is_warm = True
    assert readiness.obstacles() == []


def test_a_process_that_was_told_to_end_is_unready_at_once() -> None:
    readiness = Readiness()
    readiness.is_warm = readiness.is_draining = True
    assert readiness.obstacles() == ["draining"]


def test_a_loop_that_stood_still_is_remembered_long_enough_for_a_balancer_to_see_it() -> None:
    now = [0.0]
    readiness = Readiness(clock=lambda: now[0])
    readiness.is_warm = True
    readiness.lagged()
    now[0] = 1.5
    assert readiness.obstacles() == ["event_loop_lag"]
    now[0] = 2.5
    assert readiness.obstacles() == []
