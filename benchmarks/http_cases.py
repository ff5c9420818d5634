"""What is asked in the HTTP benchmark: one file of request bodies a case."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import orjson

from benchmarks.http_catalogue import CATEGORIES, category, item_id
from benchmarks.worker import ROOT

K = 20
_HOT = 50
_BODIES = 150_000
_BOARDS = 80_000
_TEXTS = 30_000


@dataclass(slots=True)
class Bodies:
    """A file of bodies, and how many of its lines were sent: no line is meant to be sent twice."""

    path: Path
    count: int
    sent: int = field(default=0)

    def first(self) -> bytes:
        """The first body."""
        with self.path.open("rb") as file:
            return file.readline().rstrip(b"\n")

    def take(self, count: int) -> int:
        """Set `count` lines aside; the number of the first one, from 0."""
        if self.sent + count > self.count:
            # Rather the oldest again than none: the share of misses is measured and printed.
            self.sent = 0
        first, self.sent = self.sent, self.sent + count
        return first


def write_bodies(folder: Path, items: int) -> dict[str, Bodies]:
    """Write the bodies of every case over a catalogue of so many items.

    `hit`: few questions, asked again and again. `item`: each item once. `filter`: an item and one
    category of ten. `board`: three items, diversity and explanation. `text`: words that people
    search for. `mixed`: an item, a board of ten, a filter and diversity in turn.
    """
    folder.mkdir(parents=True, exist_ok=True)
    chance = np.random.default_rng(11)
    rows = chance.permutation(items)[: min(items, _BODIES)]

    def seeds(count: int) -> list[str]:
        return [item_id(int(row)) for row in rows[chance.integers(len(rows), size=count)]]

    def filtered(row: int) -> dict[str, object]:
        wanted = category(int(chance.integers(CATEGORIES)))
        must = [{"key": "category", "match": {"value": wanted}}]
        return {"like": [item_id(row)], "k": K, "filter": {"must": must}}

    def board() -> dict[str, object]:
        return {"like": seeds(3), "k": K, "diversity": 0.3, "explain": True}

    def mixed(number: int, row: int) -> dict[str, object]:
        kinds = (
            {"like": [item_id(row)], "k": K},
            {"like": seeds(10), "k": K},
            filtered(row),
            {"like": [item_id(row)], "k": K, "diversity": 0.3},
        )
        return kinds[number % len(kinds)]

    wanted: dict[str, Iterator[dict[str, object]]] = {
        "hit": ({"like": [item_id(row)], "k": K} for row in rows[:_HOT].tolist()),
        "item": ({"like": [item_id(row)], "k": K} for row in rows.tolist()),
        "filter": (filtered(row) for row in rows.tolist()),
        "board": (board() for _ in range(_BOARDS)),
        "text": ({"text": text, "k": K} for text in search_texts(_TEXTS)),
        "mixed": (mixed(number, row) for number, row in enumerate(rows.tolist())),
    }
    return {name: _write(folder / f"{name}.jsonl", bodies) for name, bodies in wanted.items()}


def search_texts(count: int) -> list[str]:
    """Draw different texts of two to five words, from the queries of the load tests."""
    lines = (ROOT / "loadtests" / "queries.txt").read_text(encoding="utf-8").splitlines()
    queries = [line for line in lines if line and line.isascii() and not line.startswith("#")]
    words = [word for query in queries for word in query.split()]
    lengths = [min(5, max(2, len(query.split()))) for query in queries]
    chance = np.random.default_rng(5)
    found: dict[str, None] = {}
    while len(found) < count:
        found[" ".join(chance.choice(words, int(chance.choice(lengths))))] = None
    return list(found)


def usual_bodies(bodies: Bodies) -> Bodies:
    """Write the same questions in the words of the usual shape."""
    path = bodies.path.with_name(f"usual-{bodies.path.name}")
    with bodies.path.open("rb") as lines, path.open("wb") as file:
        for line in lines:
            file.write(_usual(line) + b"\n")
    return Bodies(path, bodies.count)


def _usual(body: bytes) -> bytes:
    query = orjson.loads(body)
    must = query.get("filter", {}).get("must", [])
    conditions = [{"key": each["key"], "value": each["match"]["value"]} for each in must]
    return orjson.dumps({"like": query["like"], "k": query["k"], "must": conditions})


def _write(path: Path, queries: Iterator[dict[str, object]]) -> Bodies:
    count = 0
    with path.open("wb") as file:
        for query in queries:
            file.write(orjson.dumps(query) + b"\n")
            count += 1
    return Bodies(path, count)
