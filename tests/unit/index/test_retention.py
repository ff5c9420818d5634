import fcntl
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest

from service.errors import InvalidInput, PublishConflict, VersionNotFound
from service.index.layout import version_names
from service.index.publish import publish, rollback
from service.index.retention import prunable, prune
from service.index.snapshot import open_snapshot

WriteVersion = Callable[..., str]


def test_newest_versions_stay_and_the_others_go(
    write_version: WriteVersion, indexes: Path, now: datetime
) -> None:
    names = [write_version() for _ in range(5)]
    for version in names:
        publish(indexes, "pins", version, now=now)
    going = prunable(indexes, "pins", keep=2)
    assert [each.version for each in going] == names[:3]
    assert all(each.size_bytes > 1000 for each in going)
    assert prune(indexes, "pins", keep=2) == going
    assert version_names(indexes / "pins") == names[3:]
    assert not list((indexes / "pins").glob(".staging*"))


def test_served_version_and_the_one_before_it_stay_however_old(
    write_version: WriteVersion, indexes: Path, now: datetime
) -> None:
    before, served, *unpublished = [write_version() for _ in range(5)]
    publish(indexes, "pins", before, now=now)
    publish(indexes, "pins", served, now=now)
    prune(indexes, "pins", keep=1)
    assert version_names(indexes / "pins") == [before, served, unpublished[-1]]
    assert rollback(indexes, "pins", now=now).after == before


def test_reader_keeps_what_it_has_opened(
    write_version: WriteVersion, indexes: Path, now: datetime
) -> None:
    names = [write_version() for _ in range(3)]
    for version in names:
        publish(indexes, "pins", version, now=now)
    old = open_snapshot(indexes / "pins" / names[0])
    prune(indexes, "pins", keep=1)
    assert not (indexes / "pins" / names[0]).exists()
    rows, _ = old.retriever.search(old.vectors[:1], 5)
    assert old.table.id(int(rows[0, 0])).startswith("pin-")


def test_without_a_published_version_nothing_is_deleted(
    write_version: WriteVersion, indexes: Path
) -> None:
    names = [write_version() for _ in range(2)]
    with pytest.raises(VersionNotFound):
        prune(indexes, "pins", keep=1)
    assert version_names(indexes / "pins") == names


def test_at_least_one_version_is_kept(
    write_version: WriteVersion, indexes: Path, now: datetime
) -> None:
    publish(indexes, "pins", write_version(), now=now)
    with pytest.raises(InvalidInput, match="at least 1"):
        prune(indexes, "pins", keep=0)


def test_no_pruning_while_somebody_publishes(
    write_version: WriteVersion, indexes: Path, now: datetime
) -> None:
    for _ in range(3):
        publish(indexes, "pins", write_version(), now=now)
    with (indexes / "pins" / ".publish.lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(PublishConflict):
            prune(indexes, "pins", keep=1)
    assert len(version_names(indexes / "pins")) == 3
