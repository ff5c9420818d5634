"""kill -9 anywhere: what was acknowledged is there, what was not is there whole or not at all."""

import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from service.index.change_log import ChangeLog
from service.index.changes import Put

WRITER = Path(__file__).with_name("writer.py")
ITEMS_A_REQUEST = 3


@pytest.fixture
def catalogue(tmp_path: Path) -> Path:
    folder = tmp_path / "pins"
    folder.mkdir()
    return folder


def write_until_killed(catalogue: Path, call: int, after_s: float | None = None) -> int:
    """Run a writer to its violent end; returns the last request it acknowledged, 0 for none."""
    process = subprocess.Popen(
        [sys.executable, str(WRITER), str(catalogue), str(call)],
        stdout=subprocess.PIPE,
        # What `readline` had buffered, `communicate` would not see.
        bufsize=0,
    )
    try:
        if after_s is not None:
            assert process.stdout is not None
            first = process.stdout.readline()
            time.sleep(after_s)
            process.kill()
            rest = process.communicate(timeout=30)[0]
            printed = first + rest
        else:
            printed = process.communicate(timeout=30)[0]
    finally:
        process.kill()
        process.wait()
    assert process.returncode == -9
    # A number that was cut off while it was printed was not acknowledged.
    return max((int(line) for line in printed.split(b"\n")[:-1]), default=0)


def check(catalogue: Path, acknowledged: int) -> int:
    """Check what is in the log after a kill; returns the last request in it."""
    log = ChangeLog(catalogue)
    found: dict[str, int] = {}
    for change in log.read_new().changes:
        assert isinstance(change, Put)
        number = change.attributes["number"]
        assert isinstance(number, int)
        assert change.embedding.vector.tolist() == [float(number)] * 16
        found[change.id] = number
    assert acknowledged <= log.sequence <= acknowledged + 1
    # Of every request the newest of its ids is there, all parts of it.
    for number in range(max(1, log.sequence - 19), log.sequence + 1):
        parts = {found.get(f"{number % 20}-{part}") for part in range(ITEMS_A_REQUEST)}
        assert parts == {number}
    assert len(found) == ITEMS_A_REQUEST * min(20, log.sequence)
    return log.sequence


def test_a_writer_killed_at_every_system_call_loses_nothing_acknowledged(
    catalogue: Path, everything: bool, counts: Counter[str]
) -> None:
    last = 0
    # 20 calls are two compactions and what leads to them; more of them meet other sequences.
    for call in range(1, 101 if everything else 21):
        acknowledged = max(last, write_until_killed(catalogue, call))
        last = check(catalogue, acknowledged)
        counts["kill -9 of a writer of changes, at a system call"] += 1
    assert last >= 10


def test_a_writer_killed_at_any_moment_loses_nothing_acknowledged(
    catalogue: Path, everything: bool, counts: Counter[str]
) -> None:
    chance = random.Random(7)
    last = 0
    for _ in range(200 if everything else 10):
        acknowledged = write_until_killed(catalogue, 0, after_s=chance.uniform(0.0, 0.06))
        last = check(catalogue, max(last, acknowledged))
        counts["kill -9 of a writer of changes, at a random moment"] += 1
    assert last >= 10
