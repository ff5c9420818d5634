"""The catalogues that the HTTP benchmark serves: made items, made vectors, a real build.

    python -m benchmarks.http_catalogue 200000

A version is built and published by `magpie index build --vectors`, as a team with vectors of its
own would, and kept below `benchmarks/.http` between runs.
"""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import orjson

from benchmarks.index_vectors import DIM, World, blocks
from benchmarks.worker import ROOT
from service.index.publish import current_version

HOME = ROOT / "benchmarks" / ".http"
STAND_IN = "all-minilm-l6-v2"
RECALL = 0.95
"""What the index is tuned for."""
CATEGORIES = 10
"""Equally frequent, and no matter of the vectors: each is a filter that lets 10 % through."""

_SYLLABLES = ("ba", "den", "ko", "li", "mar", "no", "pel", "ri", "sa", "tu", "ven", "zo")
_COLOURS = ("amber", "black", "blue", "brown", "green", "grey", "red", "white")
_WORDS, _TAGS, _SHOPS = 4_000, 800, 300


def item_id(row: int) -> str:
    """The id of the item in a row of the catalogue."""
    return f"item-{row:07d}"


def category(number: int) -> str:
    """The name of a category, 0 to `CATEGORIES` - 1."""
    return f"category-{number}"


def items(count: int, seed: int) -> Iterator[dict[str, object]]:
    """Draw items with a title of words, a category, tags and what a shop shows beside them."""
    chance = np.random.default_rng(seed)
    words = _words(chance)
    for row in range(count):
        title = [words[each] for each in _frequent(chance, _WORDS, 6)]
        yield {
            "id": item_id(row),
            "title": " ".join(title),
            "category": category(int(chance.integers(CATEGORIES))),
            "tags": [words[each] for each in _frequent(chance, _TAGS, 4)],
            "colour": _COLOURS[int(chance.integers(len(_COLOURS)))],
            "shop": f"shop-{int(chance.integers(_SHOPS))}",
            "price": round(float(chance.lognormal(3.0, 0.8)), 2),
            "rating": round(float(chance.uniform(2.5, 5.0)), 1),
            "in_stock": bool(chance.random() < 0.9),
            "image_url": f"https://images.example/{row:07d}.jpg",
        }


def folder_of(name: str) -> Path:
    """Where everything of one catalogue lies; its `indexes` folder is what a service serves."""
    return HOME / name


def name_of(count: int) -> str:
    """The name of the catalogue of so many items with made vectors."""
    return f"made-{count}"


def prepare(count: int) -> Path:
    """Build and publish a catalogue of made vectors, unless it is there; its indexes folder."""
    name = name_of(count)
    folder = folder_of(name)
    if not (folder / "indexes" / name / "CURRENT").exists():
        folder.mkdir(parents=True, exist_ok=True)
        _write_vectors(folder / "vectors.npy", count)
        _write_items(folder / "items.jsonl", count)
        vectors = ["--vectors", str(folder / "vectors.npy"), "--vector-model", "made-texts"]
        _build(folder, name, [*vectors, "--recall", str(RECALL)])
    return folder / "indexes"


def version_folder(count: int) -> Path:
    """The folder of the published version of so many items."""
    indexes, name = prepare(count), name_of(count)
    return indexes / name / current_version(indexes, name)


def prepare_texts(count: int) -> Path:
    """The same for a catalogue whose texts are encoded by the stand-in, to be searched by text."""
    name = f"texts-{count}"
    folder = folder_of(name)
    if not (folder / "indexes" / name / "CURRENT").exists():
        folder.mkdir(parents=True, exist_ok=True)
        _write_items(folder / "items.jsonl", count)
        _build(folder, name, ["--model", STAND_IN])
    return folder / "indexes"


def _write_vectors(path: Path, count: int) -> None:
    vectors = np.lib.format.open_memmap(path, "w+", np.float32, (count, DIM))
    for start, block in blocks(World.make(seed=1), count, seed=100):
        vectors[start : start + len(block)] = block
    vectors.flush()


def _write_items(path: Path, count: int) -> None:
    with path.open("wb") as file:
        for item in items(count, seed=3):
            file.write(orjson.dumps(item) + b"\n")


def _build(folder: Path, name: str, options: Sequence[str]) -> None:
    command = [sys.executable, "-m", "service", "index", "build", str(folder / "items.jsonl")]
    command += ["--name", name, "--text", "title", "--publish", *options]
    environment = os.environ | {
        "MAGPIE_INDEXES_DIR": str(folder / "indexes"),
        "MAGPIE_MODELS_DIR": str(ROOT / "models"),
    }
    subprocess.run(command, env=environment, cwd=ROOT, check=True)


def _words(chance: np.random.Generator) -> list[str]:
    found: dict[str, None] = {}
    while len(found) < _WORDS:
        length = int(chance.integers(2, 5))
        found["".join(chance.choice(_SYLLABLES, length))] = None
    return list(found)


def _frequent(chance: np.random.Generator, count: int, wanted: int) -> list[int]:
    """Draw different numbers below `count`, small ones more often, as words of a language are."""
    drawn = (count ** chance.random(2 * wanted)).astype(np.int64) - 1
    return [int(each) for each in dict.fromkeys(drawn.tolist())][:wanted]


if __name__ == "__main__":
    print(prepare(int(sys.argv[1])))
