import fcntl
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

import pytest

from service.errors import (
    CorruptArtifact,
    IndexFailure,
    PublishConflict,
    PublishRefused,
    VersionNotFound,
)
from service.index import journal
from service.index.admission import open_admitted
from service.index.gates import Gate
from service.index.publish import (
    Switch,
    current_version,
    publish,
    rollback,
    verify,
    versions,
)

WriteVersion = Callable[..., str]


def flip_a_bit(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


def test_nothing_is_served_before_it_is_published(
    write_version: WriteVersion, indexes: Path
) -> None:
    write_version()
    with pytest.raises(VersionNotFound, match="magpie index publish pins"):
        current_version(indexes, "pins")


def test_published_version_is_current_and_in_the_journal(
    write_version: WriteVersion, indexes: Path, now: datetime
) -> None:
    first, second = write_version(), write_version()
    switches = [publish(indexes, "pins", each, now=now) for each in (first, second)]
    assert [(each.before, each.after) for each in switches] == [(None, first), (first, second)]
    assert current_version(indexes, "pins") == second
    assert (indexes / "pins" / "CURRENT").read_text(encoding="utf-8") == f"{second}\n"
    entries = journal.read(indexes / "pins")
    assert [(entry.before, entry.after) for entry in entries] == [(None, first), (first, second)]


def test_newest_version_is_published_when_none_is_named(
    write_version: WriteVersion, indexes: Path, now: datetime
) -> None:
    write_version()
    newest = write_version()
    assert publish(indexes, "pins", now=now).after == newest


def test_publishing_the_current_version_changes_nothing(
    write_version: WriteVersion, indexes: Path, now: datetime
) -> None:
    version = write_version()
    publish(indexes, "pins", version, now=now)
    stamp = (indexes / "pins" / "CURRENT").stat()
    assert publish(indexes, "pins", version, now=now) == Switch("pins", version, version)
    assert (indexes / "pins" / "CURRENT").stat() == stamp
    assert len(journal.read(indexes / "pins")) == 1


def test_damaged_version_is_not_published(
    write_version: WriteVersion, indexes: Path, now: datetime
) -> None:
    good, bad = write_version(), write_version()
    publish(indexes, "pins", good, now=now)
    flip_a_bit(indexes / "pins" / bad / "vectors.npy")
    with pytest.raises(CorruptArtifact, match=r"vectors\.npy"):
        publish(indexes, "pins", bad, now=now)
    assert current_version(indexes, "pins") == good
    assert len(journal.read(indexes / "pins")) == 1


@pytest.mark.parametrize("version", ["2026-11-23T10-15-02Z-0000", "../pins", "latest"])
def test_unknown_version_is_not_published(
    write_version: WriteVersion, indexes: Path, now: datetime, version: str
) -> None:
    write_version()
    with pytest.raises(VersionNotFound, match="has no version"):
        publish(indexes, "pins", version, now=now)
    with pytest.raises(VersionNotFound, match="has no version"):
        verify(indexes, "pins", version)


def test_unknown_catalogue_is_not_created(indexes: Path, now: datetime) -> None:
    for act in (publish, rollback):
        with pytest.raises(VersionNotFound, match="magpie index build"):
            act(indexes, "pins", now=now)
    assert versions(indexes, "pins") == []
    assert not indexes.exists()


def test_rolling_back_twice_goes_two_versions_back(
    write_version: WriteVersion, indexes: Path, now: datetime
) -> None:
    first, second, third = (write_version() for _ in range(3))
    for version in (first, second, third):
        publish(indexes, "pins", version, now=now)
    assert rollback(indexes, "pins", now=now) == Switch("pins", third, second)
    assert rollback(indexes, "pins", now=now) == Switch("pins", second, first)
    with pytest.raises(VersionNotFound, match="nothing was served before"):
        rollback(indexes, "pins", now=now)
    assert current_version(indexes, "pins") == first


def test_rollback_goes_to_a_named_version(
    write_version: WriteVersion, indexes: Path, now: datetime
) -> None:
    first, second, third = (write_version() for _ in range(3))
    for version in (first, second, third):
        publish(indexes, "pins", version, now=now)
    assert rollback(indexes, "pins", first, now=now) == Switch("pins", third, first)
    assert rollback(indexes, "pins", third, now=now).after == third
    assert rollback(indexes, "pins", now=now).after == first


def test_rollback_passes_over_versions_that_were_deleted(
    write_version: WriteVersion, indexes: Path, now: datetime
) -> None:
    first, second, third = (write_version() for _ in range(3))
    for version in (first, second, third):
        publish(indexes, "pins", version, now=now)
    (indexes / "pins" / second).rename(indexes / "elsewhere")
    assert rollback(indexes, "pins", now=now).after == first


def test_rollback_to_a_damaged_version_is_refused(
    write_version: WriteVersion, indexes: Path, now: datetime
) -> None:
    first, second = write_version(), write_version()
    publish(indexes, "pins", first, now=now)
    publish(indexes, "pins", second, now=now)
    flip_a_bit(indexes / "pins" / first / "index.faiss")
    with pytest.raises(CorruptArtifact, match=r"index\.faiss"):
        rollback(indexes, "pins", now=now)
    assert current_version(indexes, "pins") == second


def test_second_publisher_is_told_that_another_is_at_work(
    write_version: WriteVersion, indexes: Path, now: datetime
) -> None:
    version = write_version()
    with (indexes / "pins" / ".publish.lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(PublishConflict, match="another publisher of pins"):
            publish(indexes, "pins", version, now=now)
    assert publish(indexes, "pins", version, now=now).after == version


def test_list_shows_whole_versions_oldest_first(
    write_version: WriteVersion, indexes: Path, now: datetime
) -> None:
    first, second, third = (write_version() for _ in range(3))
    publish(indexes, "pins", second, now=now)
    flip_a_bit(indexes / "pins" / third / "manifest.json")
    (indexes / "pins" / ".staging-half").mkdir()
    (indexes / "pins" / "2026-11-23T23-00-00Z-beef").mkdir()
    listed = versions(indexes, "pins")
    assert [entry.version for entry in listed] == [first, second, third]
    assert [entry.is_current for entry in listed] == [False, True, False]
    assert listed[0].manifest is not None
    assert listed[0].manifest.items == 30
    assert listed[2].manifest is None
    assert "manifest.json" in listed[2].problem


def test_verify_names_the_damaged_file(
    write_version: WriteVersion, indexes: Path, now: datetime
) -> None:
    version = write_version()
    publish(indexes, "pins", version, now=now)
    assert verify(indexes, "pins").version == version
    flip_a_bit(indexes / "pins" / version / "items" / "ids.rows.npy")
    with pytest.raises(CorruptArtifact, match=r"items/ids\.rows\.npy"):
        verify(indexes, "pins")


@pytest.mark.parametrize("content", [b"", b"latest\n", b"../../etc", b"\xff\xfe"])
def test_pointer_to_no_version_is_refused(
    write_version: WriteVersion, indexes: Path, content: bytes
) -> None:
    write_version()
    (indexes / "pins" / "CURRENT").write_bytes(content)
    with pytest.raises(CorruptArtifact, match="pins/CURRENT"):
        current_version(indexes, "pins")


def test_gates_are_told_and_kept_in_the_journal(
    write_version: WriteVersion, indexes: Path, now: datetime
) -> None:
    told: list[Sequence[Gate]] = []
    switch = publish(indexes, "pins", write_version(), now=now, told=told.append)
    entry = journal.read(indexes / "pins")[0]
    assert tuple(told[0]) == switch.gates == entry.gates
    assert [gate.name for gate in entry.gates][:3] == ["hashes", "canary", "recall@10"]
    assert not entry.forced
    assert entry.examined is not None


def test_worse_version_is_refused_and_what_is_served_stays(
    write_version: WriteVersion, indexes: Path, now: datetime
) -> None:
    good, small = write_version(items=300), write_version(items=200)
    publish(indexes, "pins", good, now=now)
    with pytest.raises(PublishRefused, match=r"items 200, wanted 300 ±20% \(-33.3%\)") as refusal:
        publish(indexes, "pins", small, now=now)
    assert "overlap@10" in refusal.value.message
    assert "--force" in refusal.value.hint
    assert current_version(indexes, "pins") == good
    assert len(journal.read(indexes / "pins")) == 1


def test_force_publishes_a_worse_version_and_the_journal_says_so(
    write_version: WriteVersion, indexes: Path, now: datetime
) -> None:
    good, small = write_version(items=300), write_version(items=200)
    publish(indexes, "pins", good, now=now, force=True)
    switch = publish(indexes, "pins", small, now=now, force=True)
    assert switch.forced
    first, second = journal.read(indexes / "pins")
    # Force that was not needed is not recorded.
    assert (first.forced, second.forced) == (False, True)
    assert "failed" in {gate.verdict for gate in second.gates}


def test_gate_of_another_check_refuses_like_our_own(
    write_version: WriteVersion, indexes: Path, now: datetime
) -> None:
    version = write_version()
    gate = Gate(name="model check", figure=None, limit="passed", verdict="failed", note="golden")
    with pytest.raises(PublishRefused, match=r"model check unknown, wanted passed \(golden\)"):
        publish(indexes, "pins", version, now=now, more_gates=[gate])
    assert publish(indexes, "pins", version, now=now, more_gates=[gate], force=True).forced


def test_damage_cannot_be_forced(write_version: WriteVersion, indexes: Path, now: datetime) -> None:
    bad = write_version()
    flip_a_bit(indexes / "pins" / bad / "vectors.npy")
    with pytest.raises(CorruptArtifact, match=r"vectors\.npy"):
        publish(indexes, "pins", bad, now=now, force=True)


def test_damaged_current_version_does_not_stop_its_replacement(
    write_version: WriteVersion, indexes: Path, now: datetime
) -> None:
    first, second = write_version(items=300), write_version(items=100)
    publish(indexes, "pins", first, now=now)
    flip_a_bit(indexes / "pins" / first / "vectors.npy")
    switch = publish(indexes, "pins", second, now=now)
    assert not switch.forced
    assert "the served version is damaged" in switch.gates[-1].note


def test_rollback_of_untouched_files_reads_none_of_them(
    write_version: WriteVersion, indexes: Path, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = write_version(), write_version()
    for version in (first, second):
        publish(indexes, "pins", version, now=now)
    monkeypatch.setattr("service.index.verification.sha256_file", None)
    monkeypatch.setattr("service.index.admission.examine", None)
    assert rollback(indexes, "pins", now=now).after == first
    entries = journal.read(indexes / "pins")
    assert entries[-1].examined == entries[0].examined


def test_rollback_to_a_version_never_published_is_examined_first(
    write_version: WriteVersion, indexes: Path, now: datetime
) -> None:
    never, served = write_version(), write_version()
    publish(indexes, "pins", served, now=now)
    rollback(indexes, "pins", never, now=now)
    assert journal.examined(journal.read(indexes / "pins"), never) is not None
    with (indexes / "pins" / never / "extra").open("wb"):
        pass
    publish(indexes, "pins", served, now=now)
    with pytest.raises(CorruptArtifact, match="extra does not belong here"):
        rollback(indexes, "pins", never, now=now)


def test_disk_that_refuses_is_told_in_words(
    write_version: WriteVersion, indexes: Path, now: datetime
) -> None:
    version = write_version()
    (indexes / "pins" / "JOURNAL.jsonl").mkdir()
    with pytest.raises(IndexFailure, match="could not be changed: Is a directory"):
        publish(indexes, "pins", version, now=now)
    with pytest.raises(VersionNotFound):
        current_version(indexes, "pins")


def test_refusals_end_a_command_with_codes_of_their_own() -> None:
    codes = {PublishConflict.exit_code, PublishRefused.exit_code, CorruptArtifact.exit_code}
    # 2 is what a wrong command line ends with.
    assert codes == {3, 4, 1}


def test_service_lets_a_child_open_only_what_nobody_has_published(
    write_version: WriteVersion, indexes: Path, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Path] = []
    published, copied = write_version(), write_version()
    publish(indexes, "pins", published, now=now)
    monkeypatch.setattr("service.index.admission.examine", opened.append)
    for version in (published, copied):
        assert open_admitted(indexes / "pins" / version).version == version
    assert opened == [indexes / "pins" / copied]
