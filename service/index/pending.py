"""What a rebuild has to carry over from the change log."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from service.errors import VersionNotFound
from service.index.change_log import ChangeLog
from service.index.changes import Change, fold
from service.index.layout import catalogue_folder, version_folder
from service.index.manifest import read_manifest
from service.index.publish import current_version
from service.index.withheld import read_withheld
from service.types import ItemId


@dataclass(frozen=True, slots=True)
class PendingChanges:
    """Changes that the served version lacks; `through` is what a version with them contains.

    `withheld` are items that it left out although their source held them: they were deleted here.
    """

    changes: Sequence[Change]
    through: int
    withheld: tuple[ItemId, ...] = ()


def pending_changes(indexes: Path, catalogue: str) -> PendingChanges:
    """Collect the changes that the served version does not contain; all if none is served.

    A rebuild merges them into its items with `changes.merge` and puts `through` into
    `Provenance.contained_changes`. What happens after this call is replayed over the new version.

    Raises:
        CorruptArtifact: the log is damaged before its end.
    """
    log = ChangeLog(catalogue_folder(indexes, catalogue))
    changes = log.read_new().changes
    try:
        version = current_version(indexes, catalogue)
        folder = version_folder(indexes, catalogue, version)
    except VersionNotFound:
        return PendingChanges(fold(changes), log.sequence)
    manifest = read_manifest(folder)
    base = manifest.contained_changes
    withheld = read_withheld(folder, manifest)
    return PendingChanges(fold(changes, after=base), max(log.sequence, base), withheld)
