"""Ten times as much as a real service can do: refused or answered, never failed, and survived.

With FAULTS=all for ten seconds.
"""

import asyncio
import json
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import count, repeat
from random import Random
from typing import Any

import psutil

from loadtests.open_loop import fire
from loadtests.shots import Shots, poisson, steady
from loadtests.target import Target
from service.index.publish import publish

EVERYTHING = os.environ.get("FAULTS") == "all"
SECONDS = 10.0 if EVERYTHING else 3.0
# What the generator keeps up with.
RATE_MAX = 8000.0
NOW = datetime(2026, 11, 2, tzinfo=UTC)
WORDS = ["rye", "sourdough", "white", "garden", "flower", "pot", "stand", "knife", "red", "bread"]
LIVE = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"

Workshop = Any


def questions() -> Iterator[bytes]:
    """Questions that nobody has asked before, each fifth with a text."""
    for number in count():
        items = [f"item-{number * step % 500}" for step in (1, 7, 13)]
        query: dict[str, object] = {"like": items, "k": 20 + number % 30, "diversity": 0.3}
        if number % 5 == 0:
            query = {"text": f"{WORDS[number % 10]} {number}", "k": 20}
        body = json.dumps(query).encode()
        yield (
            b"POST /recommend HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
        )


async def overload(target: Target) -> tuple[Shots, Shots, Shots]:
    """Ask as fast as it answers; then ten times as often, with a probe beside; then a little."""
    asked = questions()
    closed = await fire(target, asked, [0.0] * 600, connections=16)
    capacity = 600 / float(closed.latency_s.max())
    due = poisson(min(10 * capacity, RATE_MAX), SECONDS, Random(3))
    over, probes = await asyncio.gather(
        fire(target, asked, due, timeout_s=30.0),
        fire(target, repeat(LIVE), steady(10.0, SECONDS), timeout_s=30.0),
    )
    return over, probes, await fire(target, asked, steady(20.0, 1.0), timeout_s=30.0)


async def test_ten_times_the_load_is_answered_or_refused_and_leaves_no_trace(
    workshop: Workshop, wait: Callable[..., None]
) -> None:
    """G14, G15: no failure, no death, no memory kept; liveness answers throughout."""
    titles = [f"{WORDS[n % 10]} {WORDS[n // 10 % 10]} {n}" for n in range(500)]
    publish(workshop.indexes, "shop", workshop.build("shop", titles, 1), now=NOW)
    with workshop.serving("shop", MAGPIE_CACHE_BYTES="0") as service:
        process = psutil.Process(service.process.pid)
        port = int(service.url.rpartition(":")[2])
        before = process.memory_info().rss
        over, probes, after = await overload(Target("http", "127.0.0.1", port))
        assert set(over.statuses()) == {200, 503}
        assert set(probes.statuses()) == {200}
        assert set(after.statuses()) == {200}
        assert service.process.poll() is None
        assert process.memory_info().rss <= 1.2 * before
        assert service.stop() == 0
