"""kill -9 at every call to the disk, and a disk that refuses any one of them."""

import errno
import random
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from service.index.layout import version_names
from service.index.publish import current_version

COMMANDS = ("build", "publish", "rollback", "prune")
RANDOM_KILLS = 200
RECOVERIES = 5
"""Recovery takes longer than the fault: after a refusal it is tried in one case of five."""

ERRORS = {
    "ENOSPC": ("error", errno.ENOSPC),
    "EDQUOT": ("error", errno.EDQUOT),
    "EROFS": ("error", errno.EROFS),
    "EIO": ("error", errno.EIO),
    "short write": ("short", errno.ENOSPC),
}

Catalogue = Any
Runner = Any
Count = Counter[str]


def points(calls: list[str], everything: bool, sample: int = 1) -> list[int]:
    """Which calls to hit: all, or some chosen by chance but repeatably."""
    every = list(range(len(calls)))
    return every if everything else sorted(random.Random(len(calls)).sample(every, sample))


def assert_recovers(runner: Runner, case: Catalogue, command: str, *, fully: bool) -> None:
    """The same command works now and leaves nothing unknown to readers; fully: a publish too."""
    ran = runner.run(case.indexes, *case.commands[command])
    assert ran.code == 0, ran.told
    case.assert_sound()
    if command != "prune":
        assert case.leftovers() == []
    if fully:
        ran = runner.run(case.indexes, "index", "publish", "pins")
        assert ran.code == 0, ran.told
        assert case.assert_sound() == version_names(case.folder)[-1]
        assert case.leftovers() == []


@pytest.mark.parametrize("command", COMMANDS)
def test_killed_at_any_call_a_whole_version_is_served_and_the_next_command_cleans_up(
    command: str,
    runner: Runner,
    template: Catalogue,
    tmp_path: Path,
    everything: bool,
    counts: Count,
) -> None:
    arguments = template.commands[command]
    calls = runner.run(template.copy(tmp_path / "indexes").indexes, *arguments).calls
    allowed = {template.versions[2], template.expected(command)}
    for turn, point in enumerate(points(calls, everything, sample=2)):
        case = template.copy(tmp_path / "indexes")
        ran = runner.run(case.indexes, *arguments, mode="kill", point=point)
        assert ran.signal == signal.SIGKILL, (point, ran.told)
        assert case.assert_sound() in allowed
        assert_recovers(runner, case, command, fully=turn % RECOVERIES == 0)
        counts[f"kill -9 of {command}, at each call"] += 1


@pytest.mark.parametrize("name", ERRORS)
@pytest.mark.parametrize("command", COMMANDS)
def test_disk_that_refuses_any_call_leaves_the_old_version_serving_and_a_clear_message(
    command: str,
    name: str,
    runner: Runner,
    template: Catalogue,
    tmp_path: Path,
    everything: bool,
    counts: Count,
) -> None:
    mode, code = ERRORS[name]
    arguments = template.commands[command]
    calls = runner.run(template.copy(tmp_path / "indexes").indexes, *arguments).calls
    for turn, point in enumerate(points(calls, everything)):
        if mode == "short" and calls[point] not in ("write", "faiss"):
            continue
        case = template.copy(tmp_path / "indexes")
        ran = runner.run(case.indexes, *arguments, mode=mode, point=point, code=code)
        check_refusal(case, ran, command, f"{name} at call {point}, {calls[point]}", calls, point)
        if everything and turn % RECOVERIES == 0:
            assert_recovers(runner, case, command, fully=False)
        counts[f"{name} in {command}, at each call"] += 1


def check_refusal(
    case: Catalogue, ran: Any, command: str, what: str, calls: list[str], point: int
) -> None:
    assert ran.signal == 0, what
    assert "Traceback" not in ran.told, (what, ran.told)
    served = case.assert_sound()
    if ran.code == 0:
        # A failing clean-up need not fail the command; the next one sweeps again.
        assert served == (case.expected(command) or case.versions[2]), what
    else:
        assert "error" in ran.told, (what, ran.told)
        assert "→" in ran.told, (what, ran.told)
        # Only the very last call comes after the switch: it asks whether the rename will last.
        moved = point >= len(calls) - 2
        assert served in {case.versions[2], case.expected(command) if moved else None}, what
    assert len(version_names(case.folder)) <= len(case.versions) + (command == "build")
    # A disk that has become read-only cannot be swept. No other leaves more than one thing.
    assert "EROFS" in what or len(case.leftovers()) <= 1, (what, case.leftovers())
    left = sum(bytes_below(case.folder / each) for each in case.leftovers())
    # The texts of the new version are a few bytes longer.
    assert left <= 1.1 * bytes_below(case.folder / case.versions[2]), (what, left)


def bytes_below(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


def test_killed_at_any_moment_a_whole_version_is_served(
    runner: Runner,
    template: Catalogue,
    tmp_path: Path,
    everything: bool,
    counts: Count,
) -> None:
    chance = random.Random(20261101)
    for number in range(RANDOM_KILLS if everything else 2):
        command = chance.choice(COMMANDS[:3])
        case = template.copy(tmp_path / "indexes")
        delay = chance.uniform(0.0, 0.9 if command == "publish" else 0.4)
        runner.run(case.indexes, *case.commands[command], kill_after_s=delay)
        served = case.assert_sound()
        assert served in {case.versions[2], case.expected(command)}, (number, command, delay)
        assert_recovers(runner, case, command, fully=number % RECOVERIES == 0)
        counts["kill -9 at a random moment"] += 1


def test_readers_never_see_a_pointer_to_anything_but_a_whole_version(
    runner: Runner, template: Catalogue, tmp_path: Path
) -> None:
    """At each call of a publication, looked at from outside, the pointer is old or new."""
    arguments = template.commands["publish"]
    calls = runner.run(template.copy(tmp_path / "indexes").indexes, *arguments).calls
    rename = calls.index("rename")
    for point in (rename, rename + 1):
        case = template.copy(tmp_path / "indexes")
        runner.run(case.indexes, *arguments, mode="kill", point=point)
        expected = case.versions[2] if point == rename else case.versions[3]
        assert current_version(case.indexes, "pins") == expected


def test_files_are_forced_to_the_disk_before_the_name_that_makes_them_visible(
    runner: Runner, template: Catalogue, tmp_path: Path
) -> None:
    case = template.copy(tmp_path / "indexes")
    built = " ".join(runner.run(case.indexes, *case.commands["build"]).calls)
    # The version: its eleven files, its two folders, its manifest and itself; its name; its parent.
    assert f"{14 * 'fsync '}rename fsync" in built
    published = runner.run(case.indexes, *case.commands["publish"]).calls
    # The journal: its bytes, its folder. The pointer: its bytes, its name, its folder.
    assert published[-14:] == [
        "open", "write", "flush", "fsync", "close", "fsync",
        "open", "write", "flush", "fsync", "close", "rename", "unlink", "fsync",
    ]  # fmt: skip
