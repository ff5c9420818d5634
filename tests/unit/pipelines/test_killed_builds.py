"""kill -9 at random moments: only the batch under way is lost, and the same bytes come out."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import orjson
import pytest

from service.index.manifest import FileEntry
from service.index.publish import versions
from service.index.snapshot import open_snapshot

_PROGRAM = Path(__file__).with_name("build_process.py")
_KILLS = 30
_BATCH_TEXTS = 16
_ITEMS = 170
_DISTINCT = 160


@dataclass
class Builder:
    """The process that forks the builds."""

    process: "subprocess.Popen[bytes]"
    source: Path
    second: int = 0

    def build(self, indexes: Path, kill_after_s: float | None = None) -> int:
        """Run a build, killed after a while if that is said; returns its exit code."""
        assert self.process.stdin
        assert self.process.stdout
        self.second += 1
        line = orjson.dumps([str(indexes), str(self.source), self.second])
        self.process.stdin.write(line + b"\n")
        self.process.stdin.flush()
        builder = int(self.process.stdout.readline())
        if kill_after_s is not None:
            time.sleep(kill_after_s)
            with suppress(ProcessLookupError):
                os.kill(builder, signal.SIGKILL)
        return int(self.process.stdout.readline())


@pytest.fixture
def builder(tmp_path: Path) -> Iterator[Builder]:
    source = tmp_path / "films.jsonl"
    rows = [{"id": row, "title": f"Film {row % _DISTINCT}"} for row in range(_ITEMS)]
    source.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    process = subprocess.Popen(
        [sys.executable, str(_PROGRAM)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    with process:
        yield Builder(process, source)
        assert process.stdin
        process.stdin.close()


def made(indexes: Path) -> dict[str, FileEntry]:
    """Every file of the last version, with size and hash, after verifying all of them."""
    newest = versions(indexes, "films")[-1].version
    return dict(open_snapshot(indexes / "films" / newest).manifest.files)


def encoded(indexes: Path) -> int:
    """Texts that were given to the encoder, over all attempts."""
    log = indexes / "encoded.log"
    return sum(map(int, log.read_text().split())) if log.exists() else 0


def new_folder(parent: Path, name: str) -> Path:
    folder = parent / name
    folder.mkdir()
    return folder


def test_killed_builds_lose_a_batch_at_most_and_end_in_the_same_bytes(
    builder: Builder, tmp_path: Path
) -> None:
    builder.build(new_folder(tmp_path, "warm"))  # the first one waits for imports
    whole = new_folder(tmp_path, "whole")
    started = time.perf_counter()
    assert builder.build(whole) == 0
    duration = time.perf_counter() - started
    assert encoded(whole) == _DISTINCT

    chance, killed, finished = random.Random(20261123), 0, 0
    while killed < _KILLS:
        indexes = new_folder(tmp_path, f"killed-{finished}")
        kills = 0
        while (code := builder.build(indexes, chance.uniform(0, duration))) != 0:
            assert code == -signal.SIGKILL
            kills += 1
        assert made(indexes) == made(whole)
        assert encoded(indexes) <= _DISTINCT + kills * _BATCH_TEXTS
        assert not list((indexes / "films").glob(".staging-*"))
        killed, finished = killed + kills, finished + 1
    assert finished > 1


def test_damaged_segment_is_encoded_again_and_counted(builder: Builder, tmp_path: Path) -> None:
    indexes = new_folder(tmp_path, "indexes")
    assert builder.build(indexes) == 0
    segments = sorted((indexes / "films" / "vectors").rglob("*.npy"))
    before = encoded(indexes)
    content = bytearray(segments[-1].read_bytes())
    content[-1] ^= 1
    segments[-1].write_bytes(content)
    assert builder.build(indexes) == 0
    newest = versions(indexes, "films")[-1].version
    report = orjson.loads((indexes / "films" / "reports" / f"{newest}.json").read_bytes())
    assert report["embedded"]["dropped_segments"] == 1
    assert report["embedded"]["encoded"] == encoded(indexes) - before > 0
