"""More is asked than can be answered: refusals are cheap, whole, and the same for every route."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import orjson
import pytest

from service.api.compute import ComputePool

LIVE = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"
SIMILAR = b"GET /items/pin-1/similar?k=3 HTTP/1.1\r\nHost: localhost\r\n\r\n"

Wait = Callable[[Callable[[], bool], str], None]


def post(query: object, path: bytes = b"/recommend", extra: bytes = b"") -> bytes:
    body = orjson.dumps(query)
    head = b"POST %b HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n" % path
    return head + extra + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)


SEARCH = post({"text": "a word or two " * 20})


@contextmanager
def occupied(serving: Any, pool: ComputePool, calls: int) -> Iterator[None]:
    """Keep threads busy until the block ends."""
    release = threading.Event()
    tasks: list[asyncio.Task[bool]] = []

    async def occupy() -> None:
        tasks.extend(asyncio.create_task(pool.run(release.wait)) for _ in range(calls))

    serving.on_loop(occupy())
    try:
        yield
    finally:
        release.set()


@pytest.fixture
def serving(serve: Callable[..., Any]) -> Any:
    # Until more is known an answer is expected to take a millisecond.
    return serve(queue_wait_s=0.0015)


@contextmanager
def under_pressure(serving: Any, wait: Wait) -> Iterator[None]:
    """Threads are busy and one request waits, so that what comes now would wait too long."""
    services = serving.services()
    waiter = serving.connect()
    with occupied(serving, services.compute, services.compute.threads + 4):
        waiter.send(post({"like": ["pin-500"], "k": 3}))
        wait(lambda: services.gate.waiting == 1, "a request to wait")
        yield
    # Who was let in before is answered.
    assert waiter.answer()[0] == 200


@pytest.mark.parametrize(
    "request_",
    [
        post({"like": ["pin-1"]}),
        post({"queries": [{"like": ["pin-1"]}] * 5}, b"/recommend/batch"),
        post({"like": ["pin-1"], "ids": ["pin-2", "pin-3"]}, b"/rank"),
        SIMILAR,
    ],
    ids=["recommend", "batch", "rank", "similar"],
)
def test_a_request_there_is_no_time_for_gets_503_at_once_and_may_come_again(
    serving: Any, wait: Wait, request_: bytes
) -> None:
    """G20: one rule for every route that computes."""
    client = serving.connect()
    with under_pressure(serving, wait):
        for _ in range(2):
            client.send(request_)
            status, body = client.answer()
            details = orjson.loads(body)
            assert (status, details["code"], details["status"]) == (503, "overloaded", 503)
            assert client.headers["retry-after"] == "1"
            assert client.headers["content-type"] == "application/problem+json"
            assert client.headers["x-request-id"] == details["request_id"]
        # Neither of them is waiting.
        assert serving.services().gate.waiting == 1
    client.send(request_)
    assert client.answer()[0] == 200


def test_refusals_are_counted_by_route_and_told_apart_by_their_ids(
    serving: Any, wait: Wait
) -> None:
    client, ids = serving.connect(), set()
    with under_pressure(serving, wait):
        for _ in range(3):
            client.send(SIMILAR)
            ids.add(orjson.loads(client.answer()[1])["request_id"])
    labels = {"route": "/items/{item_id:path}/similar", "method": "GET", "status_class": "5xx"}
    registry = serving.server.config.metrics.registry
    name = "http_server_request_duration_seconds_count"
    assert registry.get_sample_value(name, labels) == 3
    assert serving.rejected(503) == 3
    assert len(ids) == 3


def test_what_is_known_is_answered_and_probes_are_too(serving: Any, wait: Wait) -> None:
    """G44: liveness needs no place in any queue."""
    known = [post({"like": ["pin-9"], "k": 3}), SIMILAR]
    client = serving.connect()
    for request in known:
        client.send(request)
        assert client.answer()[0] == 200
    with under_pressure(serving, wait):
        for request in [*known, LIVE, LIVE.replace(b"livez", b"readyz")]:
            client.send(request)
            assert client.answer()[0] == 200


def test_a_request_that_is_wrong_is_told_so_when_there_is_time(serving: Any, wait: Wait) -> None:
    client = serving.connect()
    wrong = post({"like": [7]})
    with under_pressure(serving, wait):
        client.send(wrong)
        assert client.answer()[0] == 503
    client.send(wrong)
    assert client.answer()[0] == 422


def test_refused_requests_sent_at_once_are_answered_in_order(serving: Any, wait: Wait) -> None:
    client = serving.connect()
    with under_pressure(serving, wait):
        client.send(post({"like": ["pin-1"]}) + LIVE + SIMILAR)
        assert [client.answer()[0] for _ in range(3)] == [503, 200, 503]


def test_a_body_in_pieces_is_refused_when_it_is_whole(serving: Any, wait: Wait) -> None:
    request = post({"like": ["pin-1"]})
    client = serving.connect()
    with under_pressure(serving, wait):
        assert not client.drip(request, pause_s=0.0005)
        assert client.answer()[0] == 503


def test_limits_of_bodies_hold_for_what_is_refused(serving: Any, wait: Wait) -> None:
    client = serving.connect()
    with under_pressure(serving, wait):
        head = post({}).partition(b"Content-Length")[0]
        client.send(head + b"Transfer-Encoding: chunked\r\n\r\n")
        piece = b"8000\r\n" + b" " * 0x8000 + b"\r\n"
        try:
            for _ in range(40):
                client.send(piece)
        except OSError:
            pass
        assert client.answer()[0] == 413
        assert client.is_closed()


def test_a_client_that_waits_for_100_continue_gets_its_503_without_a_body(
    serving: Any, wait: Wait
) -> None:
    request = post({"like": ["pin-1"]}, extra=b"Expect: 100-continue\r\n")
    head, _, body = request.partition(b"\r\n\r\n")
    client = serving.connect()
    with under_pressure(serving, wait):
        client.send(head + b"\r\n\r\n")
        assert client.interim() == 100
        client.send(body)
        assert client.answer()[0] == 503


def test_a_client_that_asks_for_one_answer_is_hung_up_on(serving: Any, wait: Wait) -> None:
    client = serving.connect()
    with under_pressure(serving, wait):
        client.send(post({"like": ["pin-1"]}, extra=b"Connection: close\r\n"))
        assert client.answer()[0] == 503
        assert client.headers["connection"] == "close"
        assert client.is_closed()


def test_searches_stand_in_a_queue_of_their_own(serving: Any, wait: Wait) -> None:
    """While the model has more texts than it can encode in time, items are still answered."""
    services = serving.services()
    waiting: list[Any] = []
    with occupied(serving, services.encoding, services.encoding.threads):
        while not services.batcher.is_full and len(waiting) < 300:
            waiting.append(serving.connect())
            waiting[-1].send(post({"text": f"word {len(waiting)} " * 60, "k": 3}))
            wait(lambda: serving.inflight() == len(waiting), "the text to arrive")
        client = serving.connect()
        for request in (SEARCH, LIVE.replace(b"/livez", b"/search?q=bread")):
            client.send(request)
            assert client.answer()[0] == 503
        client.send(post({"like": ["pin-77"], "k": 3}))
        assert client.answer()[0] == 200
    assert {each.answer()[0] for each in waiting} == {200}
