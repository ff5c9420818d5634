"""Which old versions may go: never the served one, nor the one a rollback would go to."""

import logging
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from service.artifacts import discard_folder
from service.errors import (
    CorruptArtifact,
    IndexFailure,
    InvalidInput,
    PublishConflict,
    VersionNotFound,
)
from service.index.change_log import ChangeLog
from service.index.layout import building, catalogue_folder, publishing, version_names
from service.index.publish import current_version, served_before
from service.index.vector_retention import prune_vectors

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Freed:
    """A version that goes, or went, and what it takes on the disk."""

    version: str
    size_bytes: int


def prunable(indexes: Path, catalogue: str, keep: int) -> list[Freed]:
    """List what `prune` would delete, oldest first.

    Args:
        indexes: the folder of all catalogues.
        catalogue: which one.
        keep: the newest versions to keep, ≥ 1, beside the served one and the one before it.

    Raises:
        InvalidInput: keep is less than 1.
        VersionNotFound: nothing is published, so nobody has said what must stay.
    """
    if keep < 1:
        raise InvalidInput(f"{keep} versions cannot be kept.", "Keep at least 1.")
    folder = catalogue_folder(indexes, catalogue)
    current = current_version(indexes, catalogue)
    names = version_names(folder)
    staying = {current, *names[-keep:]}
    # Where there is nothing to roll back to, nothing more has to stay.
    with suppress(VersionNotFound):
        staying.add(served_before(folder, current))
    return [Freed(name, _size(folder / name)) for name in names if name not in staying]


def prune(indexes: Path, catalogue: str, keep: int) -> list[Freed]:
    """Delete old versions; see `prunable` for what stays.

    A version disappears in one step. Interrupted, the next build or publication frees the rest. A
    process that still answers from a deleted version keeps its files until it lets go. Stored
    vectors that only deleted versions had go too.

    Raises:
        InvalidInput, VersionNotFound: see `prunable`.
        PublishConflict: a publisher is at work.
        IndexFailure: the disk refuses; what is served stays.
        Overloaded: somebody has been changing items for too long; the versions are gone.
    """
    folder = catalogue_folder(indexes, catalogue)
    current_version(indexes, catalogue)
    try:
        with publishing(folder):
            freed = prunable(indexes, catalogue, keep)
            for each in freed:
                discard_folder(folder / each.version)
            if freed:
                _free_vectors(folder)
        # What only the pruned versions lacked need not be replayed any more.
        ChangeLog(folder).drop_contained()
    except OSError as error:
        raise IndexFailure(
            f"old versions of {catalogue} could not be deleted: {error.strerror or error}.",
            "See whether the disk is read-only or failing, and run it again.",
        ) from error
    return freed


def _free_vectors(folder: Path) -> None:
    """Delete the stored vectors that no version has now, unless a build is using them."""
    try:
        with building(folder):
            gone = prune_vectors(folder, version_names(folder))
    except (PublishConflict, CorruptArtifact) as error:
        _log.warning("stored vectors stay until the next pruning: %s", error)
    else:
        if gone.freed_bytes:
            _log.info("%d bytes of stored vectors deleted", gone.freed_bytes)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
