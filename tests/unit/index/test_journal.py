from datetime import datetime
from pathlib import Path

import pytest

from service.index import journal
from service.index.gates import Gate
from service.index.journal import Action, Entry, Examined

A, B, C, D = (f"2026-11-2{day}T00-00-00Z-000{day}" for day in range(1, 5))


@pytest.fixture
def write(tmp_path: Path, now: datetime) -> list[Entry]:
    journal.append(tmp_path, "publish", None, A, now)
    journal.append(tmp_path, "rollback", A, B, now)
    return journal.read(tmp_path)


def entries(*steps: tuple[Action, str | None, str], now: datetime) -> list[Entry]:
    return [
        Entry(time=now, action=action, before=before, after=after)
        for action, before, after in steps
    ]


def test_lines_say_when_what_from_and_to(write: list[Entry], tmp_path: Path) -> None:
    lines = (tmp_path / "JOURNAL.jsonl").read_text(encoding="utf-8").splitlines()
    assert lines[0] == (
        f'{{"time":"2026-11-23T10:15:02Z","action":"publish","from":null,"to":"{A}"}}'
    )
    assert [(entry.action, entry.before, entry.after) for entry in write] == [
        ("publish", None, A),
        ("rollback", A, B),
    ]


def test_line_torn_by_a_crash_spoils_no_other(
    write: list[Entry], tmp_path: Path, now: datetime
) -> None:
    with (tmp_path / "JOURNAL.jsonl").open("ab") as file:
        file.write(b'{"time":"2026-')
    journal.append(tmp_path, "publish", B, C, now)
    assert journal.read(tmp_path)[:2] == write
    assert [entry.after for entry in journal.read(tmp_path)] == [A, B, C]


def test_no_journal_is_an_empty_one(tmp_path: Path) -> None:
    assert journal.read(tmp_path) == []


def test_publishing_goes_up_and_rolling_back_goes_down(now: datetime) -> None:
    steps = entries(
        ("publish", None, A), ("publish", A, B), ("publish", B, C), ("rollback", C, B), now=now
    )
    assert journal.served(steps[:3], C) == [A, B, C]
    assert journal.served(steps, B) == [A, B]
    after = [*steps, *entries(("publish", B, D), now=now)]
    assert journal.served(after, D) == [A, B, D]


def test_rollback_to_a_version_off_the_walk_goes_on_top(now: datetime) -> None:
    steps = entries(
        ("publish", None, A), ("publish", A, B), ("rollback", B, A), ("rollback", A, B), now=now
    )
    assert journal.served(steps, B) == [A, B]
    assert journal.served([*steps, *entries(("rollback", B, D), now=now)], D) == [A, B, D]


def test_line_whose_pointer_never_moved_does_not_count(now: datetime) -> None:
    steps = entries(("publish", None, A), ("publish", A, B), ("publish", A, C), now=now)
    assert journal.served(steps, C) == [A, C]
    assert journal.served(steps[:2], A) == [A]
    assert journal.served(steps[:1], None) == []


def test_pointer_moved_by_hand_is_on_top(now: datetime) -> None:
    assert journal.served(entries(("publish", None, A), ("publish", A, B), now=now), D)[-1] == D


def test_gates_force_and_examination_are_kept(tmp_path: Path, now: datetime) -> None:
    gate = Gate(name="items", figure=10.0, limit="12 ±20%", verdict="failed", note="-16.7%")
    seen = Examined(seal="a" * 64, files="b" * 64)
    journal.append(tmp_path, "publish", None, A, now, forced=True, gates=[gate], examined=seen)
    (entry,) = journal.read(tmp_path)
    assert (entry.forced, entry.gates, entry.examined) == (True, (gate,), seen)


def test_last_examination_of_a_version_counts(tmp_path: Path, now: datetime) -> None:
    first, second = (Examined(seal="a" * 64, files=each * 64) for each in "bc")
    for before, after, seen in ((None, A, first), (A, B, None), (B, A, second), (A, B, None)):
        journal.append(tmp_path, "publish", before, after, now, examined=seen)
    entries = journal.read(tmp_path)
    assert journal.examined(entries, A) == second
    assert journal.examined(entries, B) is None
