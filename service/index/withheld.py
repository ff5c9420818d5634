"""`withheld.json`: items that were deleted here and that the source still held.

A version names them so that the next build leaves them out again. An item is forgotten here as soon
as a build meets a source without it, or takes in that it was put anew.
"""

from collections.abc import Sequence
from pathlib import Path

import orjson

from service.artifacts import sha256_bytes
from service.errors import CorruptArtifact
from service.index.layout import WITHHELD
from service.index.manifest import Manifest
from service.types import ItemId


def write_withheld(folder: Path, ids: Sequence[ItemId]) -> None:
    """Write them into the folder of a version in the making; no file where there are none."""
    if ids:
        (folder / WITHHELD).write_bytes(orjson.dumps(ids) + b"\n")


def read_withheld(folder: Path, manifest: Manifest) -> tuple[ItemId, ...]:
    """Read those of a version, in the order of its source.

    Args:
        folder: of the version.
        manifest: its own.

    Raises:
        CorruptArtifact: the file is not the one that was written.
    """
    entry = manifest.files.get(WITHHELD)
    if entry is None:
        return ()
    try:
        content = (folder / WITHHELD).read_bytes()
    except OSError as error:
        raise CorruptArtifact(f"{WITHHELD} cannot be read: {error.strerror}.") from error
    # A deletion must not be forgotten silently.
    if sha256_bytes(content) != entry.sha256:
        raise CorruptArtifact(f"{WITHHELD} is not the file that was built: its sha256 differs.")
    return tuple(map(ItemId, orjson.loads(content)))
