"""A disk that is really full: a small tmpfs with less and less room on it."""

import os
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

SIZE = 4 << 20
PAGE = 4096

Catalogue = Any
Runner = Any
Count = Counter[str]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """An empty file system of 4 MB, unmounted afterwards."""
    mount = tmp_path / "disk"
    mount.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(mount)],
        capture_output=True,
        check=False,
    )
    if done.returncode != 0:
        pytest.skip("a small file system cannot be mounted here: run as root, outside a container")
    yield mount
    subprocess.run(["umount", str(mount)], check=True)


def leave(disk: Path, pages: int) -> Path:
    """Fill the disk up to this many free pages; returns what fills it."""
    filler = disk / "filler"
    free = os.statvfs(disk).f_bavail
    with filler.open("wb") as file:
        file.write(bytes(max(0, free - pages) * PAGE))
        file.flush()
    return filler


@pytest.mark.parametrize("command", ["build", "publish", "rollback"])
def test_full_disk_leaves_the_old_version_serving(
    command: str,
    disk: Path,
    runner: Runner,
    template: Catalogue,
    everything: bool,
    counts: Count,
) -> None:
    room = range(24) if everything else (0, 7)
    for pages in room:
        case = template.copy(disk / "indexes")
        filler = leave(disk, pages)
        assert os.statvfs(disk).f_bavail == pages
        ran = runner.run(case.indexes, *case.commands[command])
        served = case.assert_sound()
        if ran.code == 0:
            assert served == (case.expected(command) or case.versions[2])
        else:
            assert "Traceback" not in ran.told, ran.told
            assert "error" in ran.told
            assert served == case.versions[2]
            counts[f"real full disk, {command}: refused"] += 1
        filler.unlink()
        ran = runner.run(case.indexes, *case.commands[command])
        assert ran.code == 0, ran.told
        case.assert_sound()
        assert case.leftovers() == []
        counts[f"real full disk, {command}"] += 1
