"""Which version of a catalogue is served: publish, roll back, list, verify."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from service.artifacts import write_atomic
from service.errors import CorruptArtifact, IndexFailure, PublishRefused, VersionNotFound
from service.index import journal
from service.index.admission import admit, examine_again
from service.index.gates import Gate, Limits
from service.index.layout import (
    CURRENT,
    catalogue_folder,
    is_version_name,
    publishing,
    version_folder,
    version_names,
)
from service.index.manifest import Manifest, read_manifest

_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Switch:
    """What a publication or rollback did. `before` is None the first time.

    `gates` are what a publication was held against; `forced`, that some failed and did not stop it.
    """

    catalogue: str
    before: str | None
    after: str
    forced: bool = False
    gates: tuple[Gate, ...] = ()


@dataclass(frozen=True, slots=True)
class Listed:
    """A version as a list shows it: `manifest` is None and `problem` says why if unreadable."""

    version: str
    is_current: bool
    manifest: Manifest | None
    problem: str = ""


def publish(
    indexes: Path,
    catalogue: str,
    version: str | None = None,
    *,
    now: datetime,
    limits: Limits = _LIMITS,
    force: bool = False,
    more_gates: Sequence[Gate] = (),
    told: Callable[[Sequence[Gate]], None] = lambda gates: None,
) -> Switch:
    """Verify a version, hold it against the gates, and serve it from now on.

    Publishing the current version verifies it and changes nothing.

    Args:
        indexes: the folder of all catalogues.
        catalogue: which one.
        version: the newest one if None.
        now: goes into the journal.
        limits: how much worse than the served version it may be.
        force: publish it even if gates fail; the journal says so. Damage cannot be forced.
        more_gates: results of checks made elsewhere, e.g. of the model, with the same force.
        told: called with all gates before the decision.

    Raises:
        VersionNotFound: there is no such version, or none at all.
        CorruptArtifact: the version is damaged or cannot be opened; what is served stays.
        PublishRefused: a gate failed; what is served stays. The message names the gates.
        PublishConflict: another publisher is at work.
        IndexFailure: the disk refuses.
    """
    version = version or _newest(indexes, catalogue)
    folder = version_folder(indexes, catalogue, version)
    with _disk_failures_told(catalogue), publishing(folder.parent):
        before = _pointer(folder.parent)
        if before == version:
            admit(folder)
            return Switch(catalogue, before, version)
        admitted = admit(folder, folder.parent / before if before else None)
        gates = (*admitted.judge(limits), *more_gates)
        told(gates)
        failed = [gate for gate in gates if gate.verdict == "failed"]
        if failed and not force:
            raise _refusal(catalogue, version, failed)
        forced = bool(failed)
        journal.append(
            folder.parent,
            "publish",
            before,
            version,
            now,
            forced=forced,
            gates=gates,
            examined=admitted.examined,
        )
        _point(folder)
        return Switch(catalogue, before, version, forced=forced, gates=gates)


def rollback(indexes: Path, catalogue: str, version: str | None = None, *, now: datetime) -> Switch:
    """Serve an earlier version again. No gate can stop a way back; damage does.

    Without a name: the one served before the current one, as `journal.served` defines it. Rolled
    back twice, the service is two versions back. Versions no longer on disk are passed over.

    Nothing is read twice: a version whose files have not been written to since the journal says
    that they were examined is only looked at. Any other is verified as for a publication.

    Args:
        indexes: the folder of all catalogues.
        catalogue: which one.
        version: any version on disk, or None.
        now: goes into the journal.

    Raises:
        VersionNotFound: no such version, or nothing was served before.
        CorruptArtifact: the version is damaged; what is served stays.
        PublishConflict: another publisher is at work.
        IndexFailure: the disk refuses.
    """
    folder = catalogue_folder(indexes, catalogue)
    current_version(indexes, catalogue)
    with _disk_failures_told(catalogue), publishing(folder):
        current = _pointer(folder)
        target = version or served_before(folder, current)
        there = version_folder(indexes, catalogue, target)
        examined = examine_again(there)
        if target != current:
            journal.append(folder, "rollback", current, target, now, examined=examined)
            _point(there)
        return Switch(catalogue, current, target)


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
    return [_listed(folder / name, is_current=name == current) for name in version_names(folder)]


def verify(indexes: Path, catalogue: str, version: str | None = None) -> Manifest:
    """Compare every byte of a version (the current one if None) with its manifest, and open it.

    Raises:
        VersionNotFound: there is no such version, or none is published.
        CorruptArtifact: a file is not the one that was built, and the message names it; or the
            version could not be opened.
    """
    version = version or current_version(indexes, catalogue)
    return admit(version_folder(indexes, catalogue, version)).candidate.manifest


def _point(folder: Path) -> None:
    write_atomic(folder.parent / CURRENT, folder.name.encode() + b"\n")


def _refusal(catalogue: str, version: str, failed: Sequence[Gate]) -> PublishRefused:
    reasons = "; ".join(
        f"{gate.name} {'unknown' if gate.figure is None else gate.shown}, wanted "
        f"{gate.limit}{f' ({gate.note})' if gate.note else ''}"
        for gate in failed
    )
    return PublishRefused(
        f"{catalogue}@{version} was not published: {reasons}.",
        "Build it again from better items, or publish it all the same with --force.",
    )


@contextmanager
def _disk_failures_told(catalogue: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise IndexFailure(
            f"the served version of {catalogue} could not be changed: {error.strerror or error}.",
            "See whether the disk is full, read-only or failing; then see what is served: "
            f"magpie index list {catalogue}",
        ) from error


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


def served_before(folder: Path, current: str | None) -> str:
    """Name the version that a rollback of a catalogue without a name goes to.

    Raises:
        VersionNotFound: nothing was served before, or it is no longer on disk.
    """
    on_disk = set(version_names(folder))
    for version in reversed(journal.served(journal.read(folder), current)[:-1]):
        if version in on_disk and version != current:
            return version
    raise VersionNotFound(
        f"nothing was served before {current}.",
        f"Name a version to go to; to see them, run: magpie index list {folder.name}",
    )


def _newest(indexes: Path, catalogue: str) -> str:
    names = version_names(catalogue_folder(indexes, catalogue))
    if not names:
        raise VersionNotFound(
            f"{catalogue} has no versions.", f"Run: magpie index build FILE --name {catalogue}"
        )
    return names[-1]


def _listed(folder: Path, *, is_current: bool) -> Listed:
    try:
        return Listed(folder.name, is_current, read_manifest(folder))
    except CorruptArtifact as error:
        return Listed(folder.name, is_current, None, error.message)
