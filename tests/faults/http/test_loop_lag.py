"""An event loop that stands still is seen, and a balancer is told to go elsewhere."""

import time
from collections.abc import Callable
from typing import Any

import orjson

READY = b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n"
LAG = "rec_event_loop_lag_seconds"

Serve = Callable[..., Any]
Wait = Callable[[Callable[[], bool], str], None]


def slow_turns(serving: Any) -> float:
    """Ticks that came more than a second late."""
    registry = serving.server.config.metrics.registry
    every = registry.get_sample_value(f"{LAG}_count") or 0.0
    return every - (registry.get_sample_value(f"{LAG}_bucket", {"le": "1.0"}) or 0.0)


async def stand_still() -> None:
    time.sleep(1.3)  # noqa: ASYNC251


def test_a_loop_that_stood_still_makes_the_process_unready_for_a_moment(
    serve: Serve, wait: Wait
) -> None:
    """G41: one second is enough."""
    serving = serve()
    assert serving.ask(READY)[0] == 200
    serving.on_loop(stand_still())
    wait(lambda: slow_turns(serving) == 1, "the lag to be noted")
    status, body = serving.ask(READY)
    details = orjson.loads(body)
    assert (status, details["code"]) == (503, "not_ready")
    assert "event_loop_lag" in details["detail"]
    wait(lambda: serving.ask(READY)[0] == 200, "it to be ready again")


def test_ticks_are_counted_while_nothing_happens(serve: Serve, wait: Wait) -> None:
    serving = serve()
    registry = serving.server.config.metrics.registry
    wait(lambda: (registry.get_sample_value(f"{LAG}_count") or 0) >= 3, "three ticks")
    assert slow_turns(serving) == 0
