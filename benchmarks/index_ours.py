"""Our index, as a build makes it and the service opens it, kept in a folder between runs.

index.*       as the service keeps it
build.json    plan and processor seconds; written last
efforts.json  how hard to search for each aim, and what choosing took
"""

import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import orjson

from service.index.faiss_file import StoredIndex
from service.index.faiss_index import FaissIndex
from service.index.index_builder import Plan, build_stored
from service.index.manifest import EfSearch
from service.index.recall_queries import RecallQueries
from service.index.search_effort import choose_effort
from service.types import Vectors

_BUILD, _EFFORTS = "build.json", "efforts.json"
_AIM_100 = 0.95


def build_ours(vectors: Vectors, plan: Plan, folder: Path) -> float:
    """Build what is not there yet; processor seconds that it took."""
    note = folder / _BUILD
    if not note.exists():
        folder.mkdir(parents=True, exist_ok=True)
        started = time.process_time()
        stored = build_stored(vectors, plan, seed=1)
        seconds = time.process_time() - started
        stored.write(folder / "index.faiss")
        note.write_bytes(orjson.dumps({"plan": asdict(plan), "seconds": seconds}))
    return float(orjson.loads(note.read_bytes())["seconds"])


def choose_efforts(
    queries: RecallQueries, aims: Sequence[float], folder: Path, *, rescored: bool
) -> float:
    """Choose an effort for each aim, as a build does; processor seconds of one aim."""
    note = folder / _EFFORTS
    if not note.exists():
        stored = _stored(folder, queries.vectors)
        started = time.process_time()
        efforts = {
            f"{aim}": choose_effort(stored, queries, (aim, _AIM_100), rescored=rescored)
            for aim in aims
        }
        seconds = (time.process_time() - started) / len(aims)
        known = {aim: effort.model_dump() for aim, effort in efforts.items()}
        note.write_bytes(orjson.dumps({"efforts": known, "seconds": seconds}))
    return float(orjson.loads(note.read_bytes())["seconds"])


def efforts_of(folder: Path) -> dict[str, EfSearch]:
    """The effort for each aim."""
    known = orjson.loads((folder / _EFFORTS).read_bytes())["efforts"]
    return {aim: EfSearch(**effort) for aim, effort in known.items()}


def open_ours(folder: Path, vectors: Vectors, aim: str = "0.95") -> FaissIndex:
    """Map the index of a folder, with the effort for an aim."""
    return FaissIndex(_stored(folder, vectors), vectors, efforts_of(folder)[aim])


def _stored(folder: Path, vectors: Vectors) -> StoredIndex:
    plan = Plan(**orjson.loads((folder / _BUILD).read_bytes())["plan"])
    return StoredIndex.open(folder / "index.faiss", vectors, plan.factory)
