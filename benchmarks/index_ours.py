"""Our index, as a build makes it and the service opens it, kept in a folder between runs."""

import time
from dataclasses import asdict
from pathlib import Path

import orjson

from service.index.faiss_index import FaissIndex
from service.index.index_builder import Plan, build_stored
from service.index.manifest import EfSearch
from service.index.recall_queries import RecallQueries
from service.index.search_effort import choose_effort
from service.types import Vectors

_SETTINGS = "settings.json"
# Those of the tuner: what is measured on its queries has to hold for others as well.
_MARGIN, _MARGIN_SHARE = 0.008, 0.2


def build_ours(
    vectors: Vectors,
    held_out: Vectors,
    plan: Plan,
    aims: dict[str, float],
    folder: Path,
    *,
    rescored: bool = True,
) -> float:
    """Build, choose an effort for each aim, write; returns processor seconds of the build.

    The effort is chosen on queries that are neither in the index nor among those timed later.
    """
    folder.mkdir(parents=True, exist_ok=True)
    started = time.process_time()
    stored = build_stored(vectors, plan, seed=1)
    seconds = time.process_time() - started
    stored.write(folder / "index.faiss")
    queries = RecallQueries.held_out(vectors, held_out)
    efforts = {
        name: choose_effort(
            stored,
            queries,
            (aim + min(_MARGIN, _MARGIN_SHARE * (1 - aim)), 0.95),
            rescored=rescored,
        )
        for name, aim in aims.items()
    }
    settings = {
        "plan": asdict(plan),
        "seconds": seconds,
        "efforts": {name: effort.model_dump() for name, effort in efforts.items()},
    }
    (folder / _SETTINGS).write_bytes(orjson.dumps(settings))
    return seconds


def settings_of(folder: Path) -> tuple[Plan, float, dict[str, EfSearch]]:
    """Plan, processor seconds of the build, and the effort for each aim."""
    settings = orjson.loads((folder / _SETTINGS).read_bytes())
    efforts = {name: EfSearch(**effort) for name, effort in settings["efforts"].items()}
    return Plan(**settings["plan"]), settings["seconds"], efforts


def open_ours(folder: Path, vectors: Vectors, aim: str = "0.95") -> FaissIndex:
    """Map the index of a folder, with the effort for an aim."""
    plan, _, efforts = settings_of(folder)
    return FaissIndex.open(
        folder / "index.faiss", vectors, factory=plan.factory, ef_search=efforts[aim]
    )
