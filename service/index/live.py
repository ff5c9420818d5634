"""The version in use: read by every request, replaced in one step, never by a worse one."""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from service.encoders.encoder import Encoder
from service.errors import MagpieError, ModelMismatch
from service.index.layout import CURRENT, catalogue_folder, version_folder
from service.index.manifest import Manifest
from service.index.publish import current_version
from service.index.snapshot import Snapshot, open_snapshot
from service.types import ModelIdentity

_log = logging.getLogger(__name__)

_Stamp: TypeAlias = tuple[int, int, int] | None


@dataclass(frozen=True, slots=True)
class Serving:
    """A version and the encoder of the very model that made its vectors."""

    snapshot: Snapshot
    encoder: Encoder


class Live:
    """Holds what is served. Take `current` once and keep it to the end of a request.

    Args:
        indexes: the folder of all catalogues.
        catalogue: which one to serve.
        open_encoder: opens the encoder of exactly this model, or raises.
        check: refuses a version whose model is not the one it was made with, back to its origin.

    Raises:
        VersionNotFound: nothing is published.
        CorruptArtifact: the published version is damaged.
        ModelMismatch, ModelNotFound: its model is not here.
    """

    def __init__(
        self,
        indexes: Path,
        catalogue: str,
        open_encoder: Callable[[ModelIdentity], Encoder],
        check: Callable[[Manifest], None] = lambda manifest: None,
    ) -> None:
        self._indexes = indexes
        self._catalogue = catalogue
        self._open_encoder = open_encoder
        self._check = check
        self._pointer = catalogue_folder(indexes, catalogue) / CURRENT
        self._one_at_a_time = threading.Lock()
        self._last_error: str | None = None
        self._seen = _stamp(self._pointer)
        self._current = self._load(current_version(indexes, catalogue), encoder=None)

    @property
    def current(self) -> Serving:
        """What to answer from; the same object until a refresh has replaced it."""
        return self._current

    @property
    def last_error(self) -> str | None:
        """Why the version that should be served is not; None when it is."""
        return self._last_error

    def refresh(self) -> bool:
        """Serve the published version if it changed; returns whether it was replaced.

        Costs one `stat` when nothing changed. A version that is refused is not tried again until
        something is published. Blocks while it hashes and opens; call it from a thread.
        """
        with self._one_at_a_time:
            stamp = _stamp(self._pointer)
            if stamp == self._seen:
                return False
            # Noted before the attempt, so that a version that fails is tried once.
            self._seen = stamp
            try:
                return self._follow()
            except (MagpieError, OSError) as error:
                self._last_error = str(error)
                _log.error("keeping %s: %s", self._current.snapshot.name, error)
                return False

    def _follow(self) -> bool:
        version = current_version(self._indexes, self._catalogue)
        replaced = version != self._current.snapshot.version
        if replaced:
            self._current = self._load(version, self._current.encoder)
        self._last_error = None
        return replaced

    def _load(self, version: str, encoder: Encoder | None) -> Serving:
        snapshot = open_snapshot(version_folder(self._indexes, self._catalogue, version))
        wanted = snapshot.manifest.model
        self._check(snapshot.manifest)
        if encoder is None or encoder.identity != wanted:
            encoder = self._open_encoder(wanted)
        _check_match(snapshot.manifest, encoder)
        return Serving(snapshot, encoder)


def _check_match(manifest: Manifest, encoder: Encoder) -> None:
    made, offered = manifest.model, encoder.identity
    if (made, manifest.dim) != (offered, encoder.dim):
        raise ModelMismatch(
            f"{manifest.catalogue}@{manifest.version} was built with {made} "
            f"({made.digest[:12]}, {manifest.dim} numbers), the encoder is {offered} "
            f"({offered.digest[:12]}, {encoder.dim} numbers).",
            "Build the index again, or export that model.",
        )


def _stamp(path: Path) -> _Stamp:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
