import json
from collections.abc import Callable
from itertools import repeat
from random import Random

import pytest

from loadtests.answers import Expected
from loadtests.open_loop import encode_call, fire
from loadtests.shots import Shots, poisson, steady
from loadtests.target import Target, parse_target
from loadtests.traffic import Call

ITEM_PAGE = Call("item page", "GET", "/items/item%2F3/similar?k=5", None, Expected())
BOARD = Call("board", "POST", "/recommend", b'{"like": ["item/3"]}', Expected())

Serve = Callable[..., str]


def aim(url: str) -> Target:
    return parse_target(url, is_owned=False)


async def test_every_request_that_is_due_is_sent_and_answered(serve: Serve) -> None:
    target = aim(serve())
    bodies: list[bytes] = []
    shots = await fire(
        target,
        repeat(encode_call(ITEM_PAGE, target)),
        steady(200, 0.5),
        on_answer=lambda shot, status, body: bodies.append(body),
    )
    assert shots.statuses() == {200: 100}
    assert len(bodies) == 100
    assert all(len(json.loads(body)["items"]) == 5 for body in bodies)


async def test_a_call_with_a_body_is_understood_by_a_server(serve: Serve) -> None:
    target = aim(serve())
    shots = await fire(target, repeat(encode_call(BOARD, target)), [0.0])
    assert shots.statuses() == {200: 1}


async def test_a_stall_counts_against_every_request_that_was_due_meanwhile(
    stalling: Target,
) -> None:
    """A closed loop would have seen one slow request; its p50 would not have moved."""
    requests = repeat(encode_call(ITEM_PAGE, stalling))
    shots = await fire(stalling, requests, steady(100, 1.0), connections=1)
    assert shots.statuses() == {200: 100}
    assert shots.latency_ms(0.999) >= 900
    assert shots.latency_ms(0.5) >= 300


async def test_no_answer_in_time_and_no_listener_are_status_0(
    stalling: Target, free_port: int
) -> None:
    requests = repeat(encode_call(ITEM_PAGE, stalling))
    late = await fire(stalling, requests, [0.0], timeout_s=0.1)
    nobody = Target("http", "127.0.0.1", free_port)
    refused = await fire(nobody, repeat(encode_call(ITEM_PAGE, nobody)), [0.0, 0.0])
    assert late.statuses() == {0: 1}
    assert refused.statuses() == {0: 2}
    assert refused.good(within_s=60) == 0


async def test_a_server_that_closes_after_each_answer_is_connected_to_again(
    closing: Target,
) -> None:
    shots = await fire(closing, repeat(encode_call(ITEM_PAGE, closing)), [0.0] * 20, connections=3)
    assert shots.statuses() == {503: 20}


def test_arrivals_of_independent_callers_have_the_rate_asked_for() -> None:
    due = poisson(1000, 20, Random(1))
    assert due == sorted(due)
    assert len(due) == pytest.approx(20_000, rel=0.03)
    assert due == poisson(1000, 20, Random(1))


async def test_parts_of_a_run_are_cut_by_when_requests_were_due(serve: Serve) -> None:
    target = aim(serve())
    shots = await fire(target, repeat(encode_call(ITEM_PAGE, target)), steady(100, 0.3))
    assert len(shots.between(0.1, 0.2)) == 10
    assert shots.good(within_s=60) == 30
    assert shots.every(10, 3).due_s.tolist() == shots.due_s[3::10].tolist()
    assert isinstance(shots.with_status([503]), Shots)
    assert len(shots.with_status([503])) == 0
