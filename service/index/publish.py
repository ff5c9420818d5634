"""Which version of a catalogue is served: publish, roll back, list, verify."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from service.artifacts import write_atomic
from service.errors import CorruptArtifact, VersionNotFound
from service.index import journal
from service.index.layout import (
    CURRENT,
    MANIFEST,
    catalogue_folder,
    is_version_name,
    publishing,
    version_folder,
)
from service.index.manifest import Manifest, read_manifest
from service.index.snapshot import open_snapshot
from service.index.verification import verify_folder


@dataclass(frozen=True, slots=True)
class Switch:
    """What a publication or rollback did. `before` is None the first time."""

    catalogue: str
    before: str | None
    after: str


@dataclass(frozen=True, slots=True)
class Listed:
    """A version as a list shows it: `manifest` is None and `problem` says why if unreadable."""

    version: str
    is_current: bool
    manifest: Manifest | None
    problem: str = ""


def publish(indexes: Path, catalogue: str, version: str | None = None, *, now: datetime) -> Switch:
    """Verify a version and serve it from now on. Publishing the current version changes nothing.

    Args:
        indexes: the folder of all catalogues.
        catalogue: which one.
        version: the newest one if None.
        now: goes into the journal.

    Raises:
        VersionNotFound: there is no such version, or none at all.
        CorruptArtifact: the version is damaged; what is served stays.
        PublishConflict: another publisher is at work.
    """
    version = version or _newest(indexes, catalogue)
    folder = version_folder(indexes, catalogue, version)
    with publishing(folder.parent):
        return _switch(folder, "publish", _pointer(folder.parent), now)


def rollback(indexes: Path, catalogue: str, version: str | None = None, *, now: datetime) -> Switch:
    """Serve an earlier version again, after verifying it.

    Without a name: the one served before the current one, as `journal.served` defines it. Rolled
    back twice, the service is two versions back. Versions no longer on disk are passed over.

    Args:
        indexes: the folder of all catalogues.
        catalogue: which one.
        version: any version on disk, or None.
        now: goes into the journal.

    Raises:
        VersionNotFound: no such version, or nothing was served before.
        CorruptArtifact: the version is damaged; what is served stays.
        PublishConflict: another publisher is at work.
    """
    folder = catalogue_folder(indexes, catalogue)
    current_version(indexes, catalogue)
    with publishing(folder):
        current = _pointer(folder)
        target = version or _served_before(folder, current)
        return _switch(version_folder(indexes, catalogue, target), "rollback", current, now)


def current_version(indexes: Path, catalogue: str) -> str:
    """Name the version that is served.

    Raises:
        VersionNotFound: none is published.
        CorruptArtifact: the pointer names nothing that could be a version.
    """
    version = _pointer(catalogue_folder(indexes, catalogue))
    if version is None:
        raise VersionNotFound(
            f"no version of {catalogue} is published.",
            f"Run: magpie index build FILE --name {catalogue}; magpie index publish {catalogue}",
        )
    return version


def versions(indexes: Path, catalogue: str) -> list[Listed]:
    """All complete versions, oldest first; empty for an unknown catalogue. Hashes nothing."""
    folder = catalogue_folder(indexes, catalogue)
    current = _pointer(folder)
    return [_listed(folder / name, is_current=name == current) for name in _names(folder)]


def verify(indexes: Path, catalogue: str, version: str | None = None) -> Manifest:
    """Compare every byte of a version (the current one if None) with its manifest.

    Raises:
        VersionNotFound: there is no such version, or none is published.
        CorruptArtifact: a file is not the one that was built; the message names it.
    """
    version = version or current_version(indexes, catalogue)
    return verify_folder(version_folder(indexes, catalogue, version))


def _switch(folder: Path, action: journal.Action, before: str | None, now: datetime) -> Switch:
    # Opened too, not only hashed: what a service could not open is not published.
    open_snapshot(folder)
    catalogue = folder.parent
    if folder.name != before:
        journal.append(catalogue, action, before, folder.name, now)
        write_atomic(catalogue / CURRENT, folder.name.encode() + b"\n")
    return Switch(catalogue.name, before, folder.name)


def _pointer(folder: Path) -> str | None:
    try:
        name = (folder / CURRENT).read_bytes().decode("utf-8", "replace").strip()
    except FileNotFoundError:
        return None
    if not is_version_name(name):
        raise CorruptArtifact(
            f"{folder.name}/{CURRENT} does not name a version.",
            f"Remove it and run: magpie index publish {folder.name}",
        )
    return name


def _served_before(folder: Path, current: str | None) -> str:
    on_disk = set(_names(folder))
    for version in reversed(journal.served(journal.read(folder), current)[:-1]):
        if version in on_disk and version != current:
            return version
    raise VersionNotFound(
        f"nothing was served before {current}.",
        f"Name a version to go to; to see them, run: magpie index list {folder.name}",
    )


def _newest(indexes: Path, catalogue: str) -> str:
    names = _names(catalogue_folder(indexes, catalogue))
    if not names:
        raise VersionNotFound(
            f"{catalogue} has no versions.", f"Run: magpie index build FILE --name {catalogue}"
        )
    return names[-1]


def _names(folder: Path) -> list[str]:
    if not folder.is_dir():
        return []
    return sorted(
        path.name
        for path in folder.iterdir()
        if is_version_name(path.name) and (path / MANIFEST).is_file()
    )


def _listed(folder: Path, *, is_current: bool) -> Listed:
    try:
        return Listed(folder.name, is_current, read_manifest(folder))
    except CorruptArtifact as error:
        return Listed(folder.name, is_current, None, error.message)
