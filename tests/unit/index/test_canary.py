import os
import signal
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest

from service.errors import CorruptArtifact
from service.index import canary
from service.index.figures import measure
from service.index.manifest import FileEntry, read_manifest
from service.index.snapshot import open_snapshot

WriteVersion = Callable[..., str]


@pytest.fixture
def folder(write_version: WriteVersion, indexes: Path) -> Path:
    return indexes / "pins" / write_version(items=200)


def reseal(folder: Path) -> None:
    """Make every hash of a changed version right again."""
    manifest = read_manifest(folder)
    files = {path: FileEntry.of(folder / path) for path in manifest.files}
    (folder / "manifest.json").write_bytes(manifest.model_copy(update={"files": files}).to_json())


def test_child_measures_what_this_process_would(folder: Path) -> None:
    examination = canary.examine(folder)
    assert examination.candidate == measure(open_snapshot(folder))
    assert examination.previous is None
    assert examination.parity is None


def test_two_versions_are_compared_in_one_child(
    folder: Path, write_version: WriteVersion, indexes: Path
) -> None:
    other = indexes / "pins" / write_version(items=220)
    examination = canary.examine(folder, other)
    assert examination.previous == measure(open_snapshot(other))
    assert examination.parity is not None
    assert examination == canary.look(folder, other)


def test_index_that_does_not_fit_is_refused_with_the_reason(folder: Path) -> None:
    with (folder / "index.faiss").open("r+b") as file:
        file.write(b"IwPQ")
    reseal(folder)
    with pytest.raises(CorruptArtifact, match=r"pins/.*index\.faiss is not a FAISS index"):
        canary.examine(folder)


def test_work_without_end_is_ended(folder: Path) -> None:
    with pytest.raises(CorruptArtifact, match="not done after 0 s"):
        canary.examine(folder, seconds=0.01)


@pytest.mark.parametrize(
    ("does", "said"),
    [
        (f"os.kill(os.getpid(), {int(signal.SIGSEGV)})", "ended by SIGSEGV"),
        ("sys.exit(70)", "asked for more memory"),
        ("sys.exit(5)", "ended with code 5"),
        ("print('yes')", "its answer made no sense"),
        ("print('x' * 10_000_000)", "its answer made no sense"),
    ],
)
def test_death_or_nonsense_of_the_child_is_a_refusal(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, does: str, said: str
) -> None:
    # A package of the same name, which does what a broken reader would do.
    package = tmp_path / "broken" / "service" / "index"
    package.mkdir(parents=True)
    for level in (package, package.parent):
        (level / "__init__.py").touch()
    (package / "canary.py").write_text(f"import os, sys\n{does}\n", encoding="utf-8")
    monkeypatch.setattr(canary, "_PACKAGES", tmp_path / "broken")
    with pytest.raises(CorruptArtifact, match=said):
        canary.examine(folder)


def test_child_has_bounds_and_none_of_our_secrets(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAGPIE_REDIS_URL", "redis://:secret@127.0.0.1/0")
    environment = canary._environment()
    assert "secret" not in str(environment)
    assert environment["PYTHONPATH"].split(os.pathsep)[0] == str(Path(canary.__file__).parents[2])


def test_more_memory_than_an_index_needs_is_not_given(
    folder: Path, monkeypatch: pytest.MonkeyPatch, now: datetime
) -> None:
    # Too little for the blocks of numbers that a measurement makes.
    monkeypatch.setattr(canary, "_MEMORY_SPARE", 1 << 16)
    with pytest.raises(CorruptArtifact, match=r"pins/"):
        canary.examine(folder)
