"""What a swap costs a worker in memory, and that no search meets two versions."""

import json
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.index.layout import building, catalogue_folder
from service.index.publish import publish, rollback
from service.index.snapshot import Provenance, write_snapshot
from service.index.tuning import build_faiss
from service.types import Item, ItemId, ModelIdentity

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
DIM = 384
PEAK = 2.2
"""A worker may hold this many times one index while it swaps."""

Count = Counter[str]


def proportional_bytes(pid: int) -> int:
    """Memory of a process, each shared page divided among those who share it (PSS)."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:")) << 10


@dataclass
class Worker:
    process: subprocess.Popen[str]
    peak: int = 0
    _done: threading.Event = field(default_factory=threading.Event)

    def hears(self) -> Any:
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())

    def watch(self) -> None:
        while not self._done.wait(0.02):
            try:
                self.peak = max(self.peak, proportional_bytes(self.process.pid))
            except (OSError, StopIteration):
                return

    def ends(self) -> Any:
        self._done.set()
        assert self.process.stdin is not None
        self.process.stdin.close()
        return self.hears()


@contextmanager
def working(indexes: Path) -> Iterator[tuple[Worker, int]]:
    """Start a worker; yields it and what it took before it opened an index."""
    script = Path(__file__).with_name("swap_worker.py")
    process = subprocess.Popen(
        [sys.executable, str(script), str(indexes), str(DIM), "2"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        worker = Worker(process)
        try:
            assert worker.hears() == {"phase": "imported"}
            before = proportional_bytes(process.pid)
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
            assert worker.hears() == {"phase": "ready"}
            watcher = threading.Thread(target=worker.watch)
            watcher.start()
            yield worker, before
            watcher.join()
        finally:
            if process.poll() is None:
                process.kill()


def write(indexes: Path, items: int, minute: int) -> str:
    chance = np.random.default_rng(items)
    vectors = chance.standard_normal((items, DIM), dtype=np.float32)
    # Flat, so that each search touches all of it: the most memory that a version can take.
    built = build_faiss(vectors, seed=7, exact_items=1 << 30)
    with building(catalogue_folder(indexes, "pins")):
        return write_snapshot(
            indexes,
            "pins",
            items=[Item(ItemId(f"{items}-{n}"), f"Pin {n}", {"price": n}) for n in range(items)],
            vectors=vectors,
            built=built,
            provenance=Provenance(
                model=ModelIdentity("toy", "0" * 40, "0" * 64),
                stand_in=True,
                template_pattern="{title}",
                template_sha256="0" * 64,
                source_name="pins.jsonl",
                source_sha256="0" * 64,
                rejects=0,
                seed=7,
                tools={},
            ),
            created_at=NOW.replace(minute=minute),
        )


def test_swaps_under_search_mix_nothing_and_take_two_indexes_of_memory_at_most(
    tmp_path: Path, everything: bool, counts: Count
) -> None:
    items, swaps = (100_000, 100) if everything else (3_000, 6)
    indexes = tmp_path / "indexes"
    versions = [write(indexes, items, 1), write(indexes, items + 1, 2)]
    folder = indexes / "pins" / versions[1]
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    # Random vectors have other neighbours each time; that is not what is under test.
    for version in reversed(versions):
        publish(indexes, "pins", version, now=NOW, force=True)
    with working(indexes) as (worker, before):
        for turn in range(1, swaps + 1):
            rollback(indexes, "pins", versions[turn % 2], now=NOW)
            assert worker.hears() == {"phase": versions[turn % 2]}
        seen = worker.ends()
    assert seen["swaps"] == swaps
    assert (seen["mixed"], seen["versions"], seen["refused"]) == (0, 2, None)
    assert seen["answers"] > swaps
    taken = worker.peak - before
    counts[f"swaps of an index of {items:,} items under search"] += swaps
    counts["answers during these swaps, each from one version"] += seen["answers"]
    counts[f"percent of one index ({size / 1e6:.0f} MB) taken at the peak (PSS)"] += round(
        100 * taken / size
    )
    assert taken <= PEAK * size + SLACK


SLACK = 30_000_000
"""Blocks of numbers and threads of a worker, whatever the size of its index."""


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
