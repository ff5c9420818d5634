"""The log as writers, readers and crashes see it."""

import errno
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import ChangesNotStored, CorruptArtifact
from service.index import change_log
from service.index.change_log import ChangeLog
from service.index.changes import Change, Delete, Embedding, Patch, Put, fold
from service.index.layout import CHANGES
from service.types import ItemId

WriteVersion = Callable[..., str]


def put(name: str, price: int = 1) -> Put:
    vector = np.full(4, price, np.float32)
    embedding = Embedding(f"text of {name}", vector, "model", "template")
    return Put(0, ItemId(name), {"price": price, "tags": ["a", "b"]}, embedding)


def described(changes: Sequence[Change]) -> list[tuple[object, ...]]:
    """Changes as values that can be compared."""
    return [
        (
            type(each).__name__,
            each.sequence,
            each.id,
            None if isinstance(each, Delete) else dict(each.attributes),
            None
            if isinstance(each, Delete) or each.embedding is None
            else (each.embedding.text, each.embedding.vector.tolist()),
        )
        for each in changes
    ]


def append(log: ChangeLog, *changes: Change) -> None:
    with log.writing():
        log.append(changes)


def everything(catalogue: Path) -> list[tuple[object, ...]]:
    return described(ChangeLog(catalogue).read_new().changes)


@pytest.fixture
def catalogue(tmp_path: Path) -> Path:
    folder = tmp_path / "pins"
    folder.mkdir()
    return folder


def log_file(catalogue: Path) -> Path:
    (found,) = (catalogue / CHANGES).glob("*.log")
    return found


def test_what_was_appended_is_read_in_order_and_once(catalogue: Path) -> None:
    writer, reader = ChangeLog(catalogue), ChangeLog(catalogue)
    assert not reader.read_new().changes
    append(writer, put("a"), Delete(0, ItemId("b")))
    append(writer, Patch(0, ItemId("a"), {"price": None, "title": "é"}))
    found = reader.read_new().changes
    assert [(type(each).__name__, each.sequence, each.id) for each in found] == [
        ("Put", 1, "a"),
        ("Delete", 1, "b"),
        ("Patch", 2, "a"),
    ]
    assert described(found)[0][3:] == (
        {"price": 1, "tags": ["a", "b"]},
        ("text of a", [1.0, 1.0, 1.0, 1.0]),
    )
    assert described(found)[2][3] == {"price": None, "title": "é"}
    assert not reader.read_new().changes
    assert reader.revision == writer.revision


def test_two_writers_take_turns_and_number_on(catalogue: Path) -> None:
    one, other = ChangeLog(catalogue), ChangeLog(catalogue)
    append(one, put("a"))
    with other.writing() as reading:
        assert [each.id for each in reading.changes] == ["a"]
        assert [each.sequence for each in other.append([put("b")])] == [2]
    append(one, put("c"))
    assert [each[1:3] for each in everything(catalogue)] == [(1, "a"), (2, "b"), (3, "c")]


def test_a_torn_end_is_passed_over_by_readers_and_cut_by_the_next_writer(catalogue: Path) -> None:
    append(ChangeLog(catalogue), put("a"))
    whole = log_file(catalogue).read_bytes()
    append(ChangeLog(catalogue), put("b"))
    torn = log_file(catalogue).read_bytes()
    for end in range(len(whole), len(torn)):
        log_file(catalogue).write_bytes(torn[:end])
        assert [each[2] for each in everything(catalogue)] == ["a"]
    append(ChangeLog(catalogue), put("c"))
    assert [each[1:3] for each in everything(catalogue)] == [(1, "a"), (2, "c")]


def test_a_reader_that_saw_the_torn_end_sees_what_replaces_it(catalogue: Path) -> None:
    writer, reader = ChangeLog(catalogue), ChangeLog(catalogue)
    append(writer, put("a"))
    reader.read_new()
    with log_file(catalogue).open("ab") as file:
        file.write(b"MGC1 and half of something")
    assert reader.read_new().is_restart
    assert not reader.read_new().is_restart
    append(writer, put("b"))
    reading = reader.read_new()
    assert [each.id for each in reading.changes][-1] == "b"


@pytest.mark.parametrize("size", ["shorter", "longer"])
def test_a_change_that_was_seen_and_taken_back_is_forgotten(catalogue: Path, size: str) -> None:
    writer, reader = ChangeLog(catalogue), ChangeLog(catalogue)
    append(writer, put("a"))
    before = log_file(catalogue).read_bytes()
    append(writer, put("phantom"))
    reader.read_new()
    log_file(catalogue).write_bytes(before)
    append(ChangeLog(catalogue), put("b" if size == "shorter" else "b" * 100))
    reading = reader.read_new()
    assert reading.is_restart
    assert [each.id[0] for each in reading.changes] == ["a", "b"]
    assert reader.revision == _revision(catalogue)


def _revision(catalogue: Path) -> str:
    log = ChangeLog(catalogue)
    log.read_new()
    return log.revision


@given(st.data())
def test_any_flipped_bit_before_the_last_frame_is_told(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    catalogue = tmp_path_factory.mktemp("flip") / "pins"
    catalogue.mkdir()
    log = ChangeLog(catalogue)
    append(log, put("a"))
    end = log_file(catalogue).stat().st_size
    append(log, put("b"))
    content = bytearray(log_file(catalogue).read_bytes())
    bit = data.draw(st.integers(0, end * 8 - 1))
    content[bit // 8] ^= 1 << bit % 8
    log_file(catalogue).write_bytes(content)
    with pytest.raises(CorruptArtifact, match="damaged"):
        ChangeLog(catalogue).read_new()
    with pytest.raises(CorruptArtifact, match="damaged"), ChangeLog(catalogue).writing():
        pass


def test_a_full_disk_stores_nothing_and_the_log_goes_on(
    catalogue: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = ChangeLog(catalogue)
    append(log, put("a"))
    before = log_file(catalogue).read_bytes()
    real = os.pwrite

    def half(descriptor: int, content: bytes, offset: int) -> int:
        if len(content) < 40:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(descriptor, content[:30], offset)

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", half)
        with pytest.raises(ChangesNotStored, match="No space left"):
            append(log, put("b"))
    assert log_file(catalogue).read_bytes() == before
    append(log, put("c"))
    assert [each[1:3] for each in everything(catalogue)] == [(1, "a"), (2, "c")]


def test_a_failed_fsync_stores_nothing(catalogue: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = ChangeLog(catalogue)
    append(log, put("a"))

    def fail(descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(ChangesNotStored, match="Input/output error"):
            append(log, put("b"))
    assert [each[2] for each in everything(catalogue)] == ["a"]


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    blocked = tmp_path / "pins"
    blocked.mkdir()
    (blocked / CHANGES).write_text("in the way")
    with pytest.raises(ChangesNotStored), ChangeLog(blocked).writing():
        pass


def test_compaction_keeps_the_outcome_and_starts_readers_anew(catalogue: Path) -> None:
    log, reader = ChangeLog(catalogue), ChangeLog(catalogue)
    for price in range(50):
        append(log, put("a", price))
    append(log, put("b"))
    append(log, Delete(0, ItemId("b")))
    reader.read_new()
    size = log_file(catalogue).stat().st_size
    with log.writing():
        log.compact()
    assert log_file(catalogue).stat().st_size < size / 10
    assert [each[:4] for each in everything(catalogue)] == [
        ("Put", 50, "a", {"price": 49, "tags": ["a", "b"]}),
        ("Delete", 52, "b", None),
    ]
    reading = reader.read_new()
    assert reading.is_restart
    assert len(reading.changes) == 2
    append(log, put("c"))
    assert [each.sequence for each in reader.read_new().changes] == [53]
    assert log.revision == reader.revision


def test_compaction_is_due_when_half_would_go(catalogue: Path) -> None:
    log = ChangeLog(catalogue, compact_bytes=20_000)
    compactions = 0
    for price in range(1000):
        with log.writing():
            log.append([put("a", price)])
            compactions += log.compact_if_due()
        assert log_file(catalogue).stat().st_size < 21_000
    assert 2 <= compactions <= 20


def test_a_failed_compaction_leaves_the_log(
    catalogue: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = ChangeLog(catalogue)
    append(log, put("a"))

    def fail(path: Path, content: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(change_log, "write_atomic", fail)
    with log.writing(), pytest.raises(ChangesNotStored):
        log.compact()
    append(log, put("b"))
    assert [each[2] for each in everything(catalogue)] == ["a", "b"]


def test_numbers_go_on_where_the_versions_end_if_the_log_is_gone(
    write_version: WriteVersion, indexes: Path
) -> None:
    write_version(contained_changes=41)
    log = ChangeLog(indexes / "pins")
    append(log, put("a"))
    assert log.sequence == 42


def test_what_every_version_contains_is_dropped_and_nothing_else(
    write_version: WriteVersion, indexes: Path
) -> None:
    log = ChangeLog(indexes / "pins")
    (indexes / "pins").mkdir(parents=True)
    for name in "abcd":
        append(log, put(name))
    write_version(contained_changes=3)
    other = write_version(contained_changes=1)
    log.drop_contained()
    assert [each[2] for each in everything(indexes / "pins")] == ["b", "c", "d"]
    # A version that is not there any more holds nothing back.
    (indexes / "pins" / other).rename(indexes / "elsewhere")
    log.drop_contained()
    assert [each[2] for each in everything(indexes / "pins")] == ["d"]
    append(log, put("e"))
    assert log.sequence == 5


CHANGED = st.lists(
    st.tuples(
        st.sampled_from(["put", "patch", "delete"]), st.sampled_from("abc"), st.integers(1, 3)
    ),
    max_size=12,
)


def history(drawn: list[tuple[str, str, int]]) -> list[Change]:
    """A history as a service would accept it: only what exists is patched or deleted."""
    present: set[str] = set()
    changes: list[Change] = []
    for kind, name, price in drawn:
        sequence = len(changes) + 1
        if kind == "put":
            present.add(name)
            embedding = Embedding(name, np.ones(1, np.float32), "", "")
            changes.append(Put(sequence, ItemId(name), {"price": price}, embedding))
        elif name in present and kind == "patch":
            changes.append(Patch(sequence, ItemId(name), {f"key{price}": sequence}))
        elif name in present:
            present.remove(name)
            changes.append(Delete(sequence, ItemId(name)))
    return changes


def outcome(
    changes: Sequence[Change], start: Mapping[str, Mapping[str, object]]
) -> list[tuple[str, dict[str, object]]]:
    catalogue: dict[str, dict[str, object]] = {
        name: dict(attributes) for name, attributes in start.items()
    }
    for change in changes:
        if isinstance(change, Delete):
            catalogue.pop(change.id, None)
        elif isinstance(change, Put):
            if change.is_anew:
                catalogue.pop(change.id, None)
            catalogue[change.id] = dict(change.attributes)
        elif change.id in catalogue:
            catalogue[change.id] |= dict(change.attributes)
    return list(catalogue.items())


@given(CHANGED, st.integers(0, 12), st.integers(0, 12))
def test_folding_never_changes_the_outcome(
    drawn: list[tuple[str, str, int]], contained: int, dropped: int
) -> None:
    changes = history(drawn)
    contained = min(contained, len(changes))
    base = dict(outcome(changes[:contained], {}))
    kept = fold(changes, after=min(dropped, contained))
    assert len({each.id for each in kept}) == len(kept)
    missing = [each for each in kept if each.sequence > contained]
    assert outcome(missing, base) == outcome(changes, {})
