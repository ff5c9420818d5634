"""Clients that are slow, greedy or broken cost their own connection and nobody else anything."""

import threading
import time
from collections.abc import Callable
from typing import Any

import orjson
import pytest

GET = b"GET /items/pin-3/similar?k=2 HTTP/1.1\r\nHost: localhost\r\n\r\n"
BIG_GET = b"GET /items/pin-3/similar?k=500 HTTP/1.1\r\nHost: localhost\r\n\r\n"
POST_HEAD = b"POST /recommend HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
START = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n"
MIB = 1 << 20

Serve = Callable[..., Any]


def headers(count: int) -> bytes:
    return b"".join(b"x-%d: 1\r\n" % number for number in range(count))


@pytest.mark.parametrize(
    "head",
    [
        START + b"x-big: " + b"a" * 17_000 + b"\r\n\r\n",
        START + b"x-endless: " + b"a" * 400_000,
        START + b"".join(b"x-%d: %s\r\n" % (n, b"a" * 400) for n in range(50)) + b"\r\n",
        b"GET /" + b"a" * 17_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        START + headers(100) + b"\r\n",
    ],
    ids=["one large header", "a header without end", "many", "a long URL", "101 headers"],
)
def test_a_head_that_is_too_large_gets_431_and_the_connection_ends(
    serve: Serve, head: bytes
) -> None:
    serving = serve()
    client = serving.connect()
    # In pieces, as the parser tells of a header only when it is whole.
    for start in range(0, len(head), 8192):
        try:
            client.send(head[start : start + 8192])
        except OSError:
            break
    status, body = client.answer()
    assert (status, orjson.loads(body)["code"]) == (431, "headers_too_large")
    assert client.is_closed()
    assert serving.rejected(431) == 1


def test_a_head_as_large_as_allowed_is_served(serve: Serve) -> None:
    padding = b"x-big: " + b"a" * 15_000 + b"\r\n"
    status, _ = serve().ask(START + headers(98) + padding + b"\r\n")
    assert status == 200


def test_headers_that_come_byte_by_byte_run_into_their_deadline(serve: Serve) -> None:
    """Each byte starts no new time."""
    client = serve(header_timeout_s=0.4).connect()
    assert client.drip(START + b"x: " + b"a" * 500)
    status, body = client.answer()
    assert (status, orjson.loads(body)["code"]) == (408, "request_too_slow")
    assert client.is_closed()


def test_a_connection_that_says_nothing_is_closed(serve: Serve) -> None:
    client = serve(header_timeout_s=0.2).connect()
    assert client.is_closed()


def test_a_body_that_comes_byte_by_byte_runs_into_its_deadline(serve: Serve) -> None:
    client = serve(body_timeout_s=0.4).connect()
    client.send(POST_HEAD + b"Content-Length: 1000\r\n\r\n")
    assert client.drip(b" " * 500)
    assert client.answer()[0] == 408
    assert client.is_closed()


def test_an_idle_connection_is_kept_for_its_time_and_then_closed(serve: Serve) -> None:
    client = serve(keep_alive_s=0.3).connect()
    for _ in range(3):
        client.send(GET)
        assert client.answer()[0] == 200
    assert client.is_closed()


def test_a_client_that_never_reads_is_cut_off(serve: Serve) -> None:
    serving = serve(write_timeout_s=0.3)
    client = serving.connect()
    try:
        for _ in range(400):
            client.send(BIG_GET)
    except OSError:
        pass
    deadline = time.monotonic() + 20
    while serving.server.server_state.connections and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not serving.server.server_state.connections


@pytest.mark.parametrize(
    ("length", "pieces"),
    [
        (b"Content-Length: 1100000\r\n\r\n", []),
        (b"Transfer-Encoding: chunked\r\n\r\n", [b"8000\r\n" + b" " * 0x8000 + b"\r\n"] * 100),
    ],
    ids=["declared", "chunked"],
)
def test_a_body_that_is_too_large_gets_413_and_the_connection_ends(
    serve: Serve, length: bytes, pieces: list[bytes]
) -> None:
    serving = serve()
    client = serving.connect()
    client.send(POST_HEAD + length)
    sent = 0
    for piece in pieces:
        try:
            client.send(piece)
        except OSError:
            break
        sent += len(piece)
    status, body = client.answer()
    assert (status, orjson.loads(body)["code"]) == (413, "body_too_large")
    assert client.is_closed()
    assert serving.rejected(413) == 1
    # What was read, and what the kernel held of the rest on both sides.
    assert sent <= MIB + (64 << 10) + (256 << 10)


def test_a_body_longer_than_it_says_is_not_taken_for_part_of_the_request(serve: Serve) -> None:
    client = serve().connect()
    client.send(POST_HEAD + b"Content-Length: 2\r\n\r\n{}")
    assert client.answer()[0] == 200
    client.send(b"a" * 100)
    status, body = client.answer()
    assert (status, orjson.loads(body)["code"]) == (400, "malformed_request")
    assert client.is_closed()


def test_a_client_that_hangs_up_in_its_body_is_no_failure_of_ours(serve: Serve) -> None:
    serving = serve()
    client = serving.connect()
    client.send(POST_HEAD + b"Content-Length: 100\r\n\r\n{")
    client.close()
    deadline = time.monotonic() + 10
    while serving.rejected(408) == 0 and time.monotonic() < deadline:
        time.sleep(0.02)
    assert serving.rejected(408) == 1
    assert serving.rejected(500) == 0


def test_requests_sent_at_once_are_answered_in_order(serve: Serve) -> None:
    client = serve().connect()
    client.send(GET + START + b"\r\n" + GET)
    bodies = [client.answer() for _ in range(3)]
    assert [status for status, _ in bodies] == [200, 200, 200]
    assert orjson.loads(bodies[1][1]) == {"status": "live"}


def test_500_slow_clients_keep_nobody_from_being_served(serve: Serve) -> None:
    serving = serve()
    slow = [serving.connect() for _ in range(500)]
    stop = threading.Event()

    def drip() -> None:
        while not stop.wait(0.1):
            for client in slow:
                client.send(b"x")

    for client in slow:
        client.send(b"GET /livez HTTP/1.1\r\nx: ")
    dripping = threading.Thread(target=drip)
    dripping.start()
    statuses = {serving.ask(GET.replace(b"pin-3", b"pin-%d" % n))[0] for n in range(1, 51)}
    stop.set()
    dripping.join()
    assert statuses == {200}


def test_a_thousand_idle_connections_keep_nobody_from_being_served(serve: Serve) -> None:
    serving = serve()
    idle = [serving.connect() for _ in range(1000)]
    for client in idle:
        client.send(START + b"\r\n")
    assert {client.answer()[0] for client in idle} == {200}
    assert serving.ask()[0] == 200
    # And none of them was closed for it.
    for client in idle:
        client.send(START + b"\r\n")
    assert {client.answer()[0] for client in idle} == {200}


def test_where_there_are_too_many_connections_the_longest_idle_one_makes_room(
    serve: Serve,
) -> None:
    serving = serve(connections_max=20)
    idle = [serving.connect() for _ in range(20)]
    for client in idle:
        client.send(START + b"\r\n")
        assert client.answer()[0] == 200
        # The server's clock counts milliseconds.
        time.sleep(0.002)
    assert serving.ask()[0] == 200
    assert idle[0].is_closed()
    idle[-1].send(START + b"\r\n")
    assert idle[-1].answer()[0] == 200
