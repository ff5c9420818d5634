"""Where the microseconds of a miss go: its parts run by themselves, over and over, on one core.

    taskset -c 0 python -m benchmarks.http_stages VERSION_FOLDER BODIES

What a request costs beyond their sum is HTTP: parsing, the ASGI layers, routing, the event loop,
and the system calls that receive and send.
"""

import asyncio
import gc
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import faiss
import numpy as np
import orjson
from starlette.requests import Request
from starlette.types import Message

from benchmarks.http_cases import Bodies
from benchmarks.worker import ROOT
from service.api.cursor import Cursors
from service.api.dependencies import read_json_body
from service.api.render import compose, render
from service.api.schemas import RecommendRequest
from service.cache.keys import cache_key
from service.index.shelf import Shelf
from service.index.snapshot import open_snapshot
from service.recommend import seeds
from service.recommend.engine import recommend
from service.types import Query, Recommendations

T = TypeVar("T")

_ROUNDS = 2_000
_MAX_BODY = 1 << 20


def stages(version: Path, bodies: Bodies, core: str) -> dict[str, float]:
    """Median microseconds of each part, from a process of its own on one core."""
    command = ["taskset", "-c", core, sys.executable, "-m", "benchmarks.http_stages"]
    command += [str(version), str(bodies.path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def measure(version: Path, path: Path) -> dict[str, float]:
    """Run the parts on the bodies of a file, each on bodies that it has not seen."""
    faiss.omp_set_num_threads(1)
    shelf = Shelf.of_snapshot(open_snapshot(version, verify=False))
    lines = iter(path.read_bytes().splitlines())

    def fresh() -> list[bytes]:
        return [next(lines) for _ in range(_ROUNDS)]

    def queries() -> list[Query]:
        return [RecommendRequest.model_validate_json(line).to_query() for line in fresh()]

    asked = queries()
    found = [recommend(query, shelf, None) for query in asked]
    pairs = list(zip(asked, found, strict=True))
    rendered = [render(query, each, shelf, None) for query, each in pairs]
    engine = _median(lambda query: recommend(query, shelf, None), queries())
    inner = {
        "seeds: rows of ids": _median(lambda query: seeds.find_seeds(query, shelf), queries()),
        "filter: a mask": _median(lambda query: shelf.allowed(query.filter), queries()),
        "index search": float(
            np.median([each.timings_ms.get("search", 0.0) for each in found]) * 1e3
        ),
        "ranking, explanation": float(
            np.median([each.timings_ms.get("rank", 0.0) for each in found]) * 1e3
        ),
    }
    # The engine's own clock counts both of these to the search.
    inner["index search"] -= inner["seeds: rows of ids"] + inner["filter: a mask"]
    return {
        "read the body, duplicate keys": _body_us(fresh()),
        "validate": _median(
            lambda line: RecommendRequest.model_validate_json(line).to_query(), fresh()
        ),
        "cache key": _median(_key, queries()),
        **inner,
        "engine, the rest": max(0.0, engine - sum(inner.values())),
        "render": _median(lambda pair: render(pair[0], pair[1], shelf, None), pairs),
        "cursor": _median(lambda pair: _cursor(pair, shelf), pairs),
        "compose": _median(lambda body: compose(body, b"0123456789abcdef", None), rendered),
    }


def _cursor(pair: tuple[Query, Recommendations], shelf: Shelf) -> str | None:
    query, found = pair
    return Cursors(None).write(orjson.dumps(query), shelf, (), found.rows)


def _key(query: Query) -> bytes:
    return cache_key(b"answer", "catalogue@version", "0.0", orjson.dumps(query))


def _body_us(lines: list[bytes]) -> float:
    def request(line: bytes) -> Request:
        sent: list[Message] = [{"type": "http.request", "body": line, "more_body": False}]

        async def receive() -> Message:
            return sent.pop()

        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(line))]
        return Request({"type": "http", "method": "POST", "headers": headers}, receive)

    async def run() -> float:
        spent = []
        for each in [request(line) for line in lines]:
            started = time.perf_counter()
            await read_json_body(each, _MAX_BODY)
            spent.append(time.perf_counter() - started)
        return float(np.median(spent) * 1e6)

    return asyncio.run(run())


def _median(call: Callable[[T], object], given: Sequence[T]) -> float:
    spent = []
    for each in given:
        started = time.perf_counter()
        call(each)
        spent.append(time.perf_counter() - started)
    return float(np.median(spent) * 1e6)


if __name__ == "__main__":
    gc.disable()
    print(json.dumps(measure(Path(sys.argv[1]), Path(sys.argv[2]))))
