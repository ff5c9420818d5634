from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from service.errors import InvalidInput, PublishConflict, VersionNotFound
from service.index import layout


@pytest.mark.parametrize("name", ["pins", "a", "0-films", "a" * 63])
def test_catalogue_names(name: str) -> None:
    assert layout.catalogue_folder(Path("indexes"), name) == Path("indexes", name)


@pytest.mark.parametrize(
    "name", ["", "-pins", "Pins", "a" * 64, "../pins", "pins/x", "pins\n", ".", "pïns"]
)
def test_names_that_no_catalogue_may_have(name: str) -> None:
    with pytest.raises(InvalidInput, match="name of a catalogue"):
        layout.catalogue_folder(Path("indexes"), name)


def test_version_is_named_after_moment_and_content() -> None:
    moment = datetime(2026, 11, 23, 10, 15, 2, tzinfo=UTC)
    assert layout.version_name(moment, "4f2a99") == "2026-11-23T10-15-02Z-4f2a"
    elsewhere = moment.astimezone(timezone(timedelta(hours=8)))
    assert layout.version_name(elsewhere, "4f2a99") == "2026-11-23T10-15-02Z-4f2a"


@pytest.mark.parametrize("clock_s", [0, -3600, 1])
def test_newer_version_is_named_later_whatever_the_clock_says(tmp_path: Path, clock_s: int) -> None:
    built = datetime(2026, 11, 23, 10, 15, 2, 999, tzinfo=UTC)
    folder = tmp_path / layout.version_name(built, "ffff")
    folder.mkdir()
    (folder / layout.MANIFEST).touch()
    moment = layout.next_moment(tmp_path, built + timedelta(seconds=clock_s))
    assert moment == datetime(2026, 11, 23, 10, 15, 3, tzinfo=UTC)


def test_first_version_is_named_after_its_own_moment(tmp_path: Path) -> None:
    moment = datetime(2026, 11, 23, 10, 15, 2, tzinfo=UTC)
    assert layout.next_moment(tmp_path / "pins", moment) == moment


@pytest.mark.parametrize("version", ["", "..", "2026-11-23T10-15-02Z-4f2a", "x/../.."])
def test_absent_version_is_not_found(tmp_path: Path, version: str) -> None:
    with pytest.raises(VersionNotFound, match="magpie index list pins"):
        layout.version_folder(tmp_path, "pins", version)


@pytest.mark.parametrize("only_one", [layout.building, layout.publishing])
def test_second_build_or_publisher_is_turned_away(
    tmp_path: Path, only_one: Callable[[Path], AbstractContextManager[None]]
) -> None:
    with only_one(tmp_path), pytest.raises(PublishConflict, match="another"), only_one(tmp_path):
        pytest.fail("two at once")
    with only_one(tmp_path):
        pass


def test_publisher_sweeps_up_after_a_crashed_publisher(tmp_path: Path) -> None:
    (tmp_path / ".CURRENT.0badcafe.tmp").touch()
    with layout.publishing(tmp_path):
        assert sorted(path.name for path in tmp_path.iterdir()) == [".build.lock", ".publish.lock"]


def test_publisher_sweeps_up_after_a_crashed_build_only(tmp_path: Path) -> None:
    (tmp_path / ".staging-x").mkdir()
    with layout.building(tmp_path):
        (tmp_path / ".staging-alive").mkdir()
        with layout.publishing(tmp_path):
            assert (tmp_path / ".staging-alive").exists()
    with layout.publishing(tmp_path):
        assert not list(tmp_path.glob(".staging-*"))
