"""A real service and a real Redis that fails in every way, under open-loop traffic.

The service has no cache of its own here, so that every answer asks Redis. Nothing may fail, and
no answer may differ from that of a service without Redis (G1 to G5, G10 to G12).
"""

import asyncio
import itertools
import os
import re
import shutil
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import orjson
import pytest

from loadtests.open_loop import fire
from loadtests.shots import Shots, poisson
from loadtests.target import Target, parse_target
from service.index.publish import publish, rollback
from tests.faults.cache.fault_proxy import FaultProxy
from tests.faults.cache.redis_server import RedisServer

pytestmark = pytest.mark.redis

EVERYTHING = os.environ.get("FAULTS") == "all"
"""`make test-faults` sets it."""
SECONDS = 10.0 if EVERYTHING else 0.8
RATE = 400.0 if EVERYTHING else 100.0
NOW = datetime(2026, 11, 2, tzinfo=UTC)
WORDS = ["rye", "white", "garden", "flower", "pot", "stand", "knife", "red", "bread", "board"]
QUESTIONS: list[dict[str, object]] = [
    *({"like": [f"item-{n}"], "k": 3} for n in range(20)),
    *({"like": [f"item-{n}", f"item-{n + 7}"], "k": 5, "diversity": 0.4} for n in range(10)),
    *({"text": f"{a} {b}", "k": 4} for a, b in itertools.pairwise(WORDS)),
    {"like": ["unknown"], "k": 2},
]

# A connection that brought a wrong reply is given up, though Redis is there.
_CONNECTION_A_FAULT = {
    "reset mid-reply", "cut after N bytes", "corrupt byte", "values of others", "flipped bits",
}  # fmt: skip

# Faults in which Redis does not answer, or not in time: what they may add is bounded (G1, G3, G4).
_SILENT = {
    "killed", "stopped", "slow, +20 ms", "slow, +100 ms", "slow, +1000 ms", "black hole", "refused",
}  # fmt: skip

_HEAD = "fault              requests  failed  wrong  degraded  connects   p50 ms   p99 ms   back s"

Workshop = Any
Break = Callable[[], Awaitable[object]]


@dataclass
class Traffic:
    """What a stretch of traffic gave: failures and wrong answers by cause."""

    expected: list[dict[str, Any]]
    failed: Counter[int] = field(default_factory=Counter)
    wrong: list[tuple[object, object]] = field(default_factory=list)
    degraded: Counter[str] = field(default_factory=Counter)

    def take(self, shot: int, status: int, body: bytes) -> None:
        if status != 200:
            self.failed[status] += 1
            return
        found = orjson.loads(body)
        question = shot % len(QUESTIONS)
        if essence(found) != self.expected[question]:
            self.wrong.append((QUESTIONS[question], found))
        self.degraded.update(found["degraded"])


def essence(answer: dict[str, Any]) -> dict[str, Any]:
    """All of an answer that does not depend on the state of a cache."""
    return {key: answer[key] for key in ("items", "index", "model", "source", "missing")}


@dataclass
class Stage:
    """The service, Redis, the proxy between them, and what right answers are."""

    service: Any
    redis: RedisServer
    proxy: FaultProxy
    expected: list[dict[str, Any]]
    target: Target

    async def traffic(self, seconds: float, seed: int) -> tuple[Traffic, Shots]:
        traffic = Traffic(self.expected)
        due = poisson(RATE, seconds, Random(seed))
        shots = await fire(self.target, self._requests(), due, timeout_s=5, on_answer=traffic.take)
        traffic.failed[0] = int((shots.status == 0).sum())
        traffic.failed += Counter()
        return traffic, shots

    async def hits_again(self, within_s: float) -> float:
        """Ask until Redis is in use; the seconds that it took."""
        started = time.monotonic()
        before = await self.redis_hits()
        while await self.redis_hits() < before + 20:
            assert time.monotonic() - started < within_s, await self.metrics()
            for question in QUESTIONS[:20]:
                await asyncio.to_thread(partial(self.service.recommend, **question))
        return time.monotonic() - started

    async def redis_hits(self) -> float:
        lines = (await self.metrics()).splitlines()
        name = 'rec_cache_lookups_total{result="hit",store="redis"} '
        return next(float(line.removeprefix(name)) for line in lines if line.startswith(name))

    async def metrics(self) -> str:
        return await asyncio.to_thread(lambda: read_text(self.service.url + "/metrics"))

    def _requests(self) -> Iterator[bytes]:
        host = f"{self.target.host}:{self.target.port}"
        for question in itertools.cycle(QUESTIONS):
            body = orjson.dumps(question)
            head = f"POST /recommend HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
            yield head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body


def read_text(url: str) -> str:
    import urllib.request

    with urllib.request.urlopen(url, timeout=10) as response:
        return str(response.read().decode())


@asynccontextmanager
async def staged(workshop: Workshop, folder: Path) -> AsyncIterator[Stage]:
    titles = [f"{a} {b}" for a in WORDS for b in WORDS[:6]]
    publish(workshop.indexes, "shop", workshop.build("shop", titles, 1), now=NOW)
    with workshop.serving("shop") as plain:
        expected = [essence(plain.recommend(**question).body) for question in QUESTIONS]
    binary = shutil.which("redis-server")
    assert binary, "install redis-server: the tests start a real one"
    redis = RedisServer(binary, folder)
    redis.start()
    proxy = FaultProxy(redis.port)
    await proxy.open()
    variables = {
        "MAGPIE_REDIS_URL": proxy.url,
        "MAGPIE_CACHE_BYTES": "0",
        "MAGPIE_REDIS_MIN_COST_MS": "0",
    }
    running = workshop.serving("shop", **variables)
    service = await asyncio.to_thread(running.__enter__)
    try:
        target = parse_target(service.url, is_owned=False)
        yield Stage(service, redis, proxy, expected, target)
    finally:
        await asyncio.to_thread(running.__exit__, None, None, None)
        await proxy.close()
        redis.kill()


def told(name: str, traffic: Traffic, shots: Shots, connects: int, back_s: float) -> str:
    return (
        f"{name:18} {len(shots):6,} {sum(traffic.failed.values()):7} {len(traffic.wrong):6} "
        f"{traffic.degraded['cache_unavailable']:9} {connects:9} {shots.latency_ms(0.5):8.1f} "
        f"{shots.latency_ms(0.99):8.1f} {back_s:8.1f}"
    )


def spoil(redis: RedisServer, how: Callable[[bytes], object]) -> None:
    keys = redis.command("KEYS", "magpie:*")
    assert isinstance(keys, list)
    for key in keys:
        how(key)


async def test_no_fault_of_redis_fails_a_request_or_changes_an_answer(
    workshop: Workshop, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with staged(workshop, tmp_path) as stage:
        redis, proxy = stage.redis, stage.proxy

        async def call(*command: str | bytes | int) -> object:
            return await asyncio.to_thread(redis.command, *command)

        async def emptied(*command: str | bytes | int) -> None:
            # What is stored already would be read, and nothing written.
            await call("FLUSHALL")
            await call(*command)

        async def kill() -> None:
            await asyncio.to_thread(redis.kill)

        async def start() -> None:
            await asyncio.to_thread(redis.start)

        async def stop() -> None:
            redis.pause()
            asyncio.get_running_loop().call_later(min(3.0, SECONDS / 2), redis.resume)

        async def wrong_type() -> None:
            def change(key: bytes) -> None:
                # In one step: the service may be writing this very key.
                script = "redis.call('DEL', KEYS[1]) return redis.call('RPUSH', KEYS[1], 'x')"
                redis.command("EVAL", script, 1, key)

            await asyncio.to_thread(spoil, redis, change)

        async def swap_values() -> None:
            """Each key gets the value of another: whole, sound, and of the wrong question."""

            def exchange() -> None:
                keys = redis.command("KEYS", "magpie:*")
                assert isinstance(keys, list)
                for key, other in itertools.pairwise(keys):
                    redis.command("COPY", other, key, "REPLACE")

            await asyncio.to_thread(exchange)

        async def flip_bits() -> None:
            def flip(key: bytes) -> None:
                # An earlier fault may have left a list where nobody asked since.
                if redis.command("TYPE", key) == b"string":
                    redis.command("SETRANGE", key, 80, b"\x00\xff")

            await asyncio.to_thread(spoil, redis, flip)

        async def lock_out() -> None:
            await asyncio.to_thread(redis.lock_out, "word")

        async def let_in() -> None:
            await kill()
            await start()

        def mode(name: Any, **options: Any) -> Break:
            return lambda: proxy.set_mode(name, **options)

        heal: Break = mode("pass")
        faults: dict[str, tuple[Break, Break]] = {
            "killed": (kill, start),
            "stopped": (stop, heal),
            "slow, +20 ms": (mode("latency", delay_s=0.02, jitter_s=0.01), heal),
            "slow, +100 ms": (mode("latency", delay_s=0.1, jitter_s=0.05), heal),
            "slow, +1000 ms": (mode("latency", delay_s=1.0, jitter_s=0.5), heal),
            "black hole": (mode("black_hole"), heal),
            "refused": (mode("refuse"), heal),
            "reset mid-reply": (mode("reset", after_bytes=700), heal),
            "1-byte slices": (mode("slice"), heal),
            "cut after N bytes": (mode("truncate", after_bytes=700), heal),
            "corrupt byte": (mode("corrupt", after_bytes=700), heal),
            "memory full": (
                lambda: emptied("CONFIG", "SET", "maxmemory", "1"),
                lambda: call("CONFIG", "SET", "maxmemory", "0"),
            ),
            "read-only": (
                lambda: emptied("REPLICAOF", "127.0.0.1", "1"),
                lambda: call("REPLICAOF", "NO", "ONE"),
            ),
            "wrong type": (wrong_type, heal),
            "values of others": (swap_values, heal),
            "flipped bits": (flip_bits, heal),
            "password changed": (lock_out, let_in),
        }
        await stage.hits_again(within_s=30)
        traffic, shots = await stage.traffic(SECONDS, seed=99)
        assert (traffic.failed, traffic.wrong) == ({}, [])
        healthy_ms, too_slow = shots.latency_ms(0.99), []
        with capsys.disabled():
            print(f"\n{_HEAD}\n{told('none', traffic, shots, 0, 0.0)}")  # noqa: T201
        for seed, (name, (break_it, mend)) in enumerate(faults.items()):
            connects = proxy.connects
            running = asyncio.create_task(stage.traffic(SECONDS, seed))
            await asyncio.sleep(SECONDS / 8)
            await break_it()
            traffic, shots = await running
            connects = proxy.connects - connects
            await mend()
            back_s = await stage.hits_again(within_s=30)
            with capsys.disabled():
                print(told(name, traffic, shots, connects, back_s))  # noqa: T201
            assert traffic.failed == {}, name
            assert traffic.wrong == [], name
            if name in _SILENT and shots.latency_ms(0.99) > max(2 * healthy_ms, healthy_ms + 60):
                too_slow.append(name)
            if name not in _CONNECTION_A_FAULT:
                # The breaker lets one attempt a second through; until it opens there are some.
                assert connects <= 8 + SECONDS, name
        metrics = await stage.metrics()
    reasons = set(re.findall(r'rec_cache_failures_total{reason="(.*)"}', metrics))
    # Measured, so only where the machine has nothing else to do.
    assert not EVERYTHING or too_slow == []
    named = {"connect", "timeout", "open", "oom", "readonly", "wrongtype", "corrupt", "auth"}
    assert named <= reasons


async def test_cached_answer_of_an_older_version_is_never_served_after_a_swap(
    workshop: Workshop, tmp_path: Path, wait: Callable[..., None]
) -> None:
    """G12: two services on one Redis, which holds answers of both versions."""
    titles = [[f"{word} v{version}" for word in WORDS] for version in (1, 2)]
    versions = [workshop.build("shop", each, minute) for minute, each in enumerate(titles, 1)]
    for version in reversed(versions):
        publish(workshop.indexes, "shop", version, now=NOW)
    binary = shutil.which("redis-server")
    assert binary, "install redis-server: the tests start a real one"
    redis = RedisServer(binary, tmp_path)
    redis.start()
    variables = {"MAGPIE_REDIS_URL": redis.url, "MAGPIE_REDIS_MIN_COST_MS": "0"}
    try:
        with (
            workshop.serving("shop", **variables) as first,
            workshop.serving("shop", **variables, MAGPIE_CACHE_BYTES="0") as second,
        ):
            for turn in range(8 if EVERYTHING else 3):
                for service in (first, second):
                    for number in range(5):
                        body = service.recommend(like=[f"item-{number}"], k=3).body
                        assert body["index"] == f"shop@{versions[turn % 2]}"
                        for item in body["items"]:
                            assert item["fields"]["title"].endswith(f"v{turn % 2 + 1}")
                wanted = versions[(turn + 1) % 2]
                rollback(workshop.indexes, "shop", wanted, now=NOW)
                for service in (first, second):
                    wait(
                        lambda s=service, w=wanted: s.get("/readyz").body["index"] == f"shop@{w}",
                        "the swap",
                    )
    finally:
        redis.kill()
