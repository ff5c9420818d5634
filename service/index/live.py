"""What is served: a version and its changes, replaced in one step, never by a worse one."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

from service.encoders.encoder import Encoder
from service.encoders.no_encoder import NoEncoder
from service.errors import (
    ChangesNotStored,
    ItemNotFound,
    MagpieError,
    ModelMismatch,
    TooManyChanges,
)
from service.index.admission import open_admitted
from service.index.availability import Clock
from service.index.change_log import ChangeLog, Reading
from service.index.changes import Change, Put, numbered
from service.index.fresh import FreshItems
from service.index.layout import CURRENT, catalogue_folder, version_folder
from service.index.manifest import Manifest
from service.index.publish import current_version
from service.index.shelf import Shelf
from service.index.snapshot import Snapshot
from service.types import ModelIdentity

_log = logging.getLogger(__name__)

FRESH_MAX = 10_000
"""Items that may be fresh at once. All of them are compared with every query."""

# A damaged log is looked at again after this time, not at every look.
_DAMAGED_AGAIN_S = 5.0

_Stamp: TypeAlias = tuple[int, int, int] | None


@dataclass(frozen=True, slots=True)
class Serving:
    """A version, what changed since, and the encoder of the very model that made its vectors."""

    shelf: Shelf
    encoder: Encoder

    @property
    def snapshot(self) -> Snapshot:
        """The version."""
        return self.shelf.snapshot


@dataclass(frozen=True, slots=True)
class Accepted:
    """What an acknowledged request changed: how many items are new, and how many were there."""

    sequence: int
    created: int
    changed: int


class Live:
    """Holds what is served. Take `current` once and keep it to the end of a request.

    Two things move it on: `refresh` follows publications, `catch_up` the change log. Call each of
    them from a thread, as often as what they follow has to be seen.

    Args:
        indexes: the folder of all catalogues.
        catalogue: which one to serve.
        open_encoder: opens the encoder of exactly this model, or raises.
        check: refuses a version whose model is not the one it was made with, back to its origin.
        clock: seconds since 1970; decides what has expired.
        fresh_max: items that may be fresh before a rebuild is due.

    Raises:
        VersionNotFound: nothing is published.
        CorruptArtifact: the published version or the change log is damaged.
        ModelMismatch, ModelNotFound: its model is not here.
    """

    def __init__(
        self,
        indexes: Path,
        catalogue: str,
        open_encoder: Callable[[ModelIdentity], Encoder],
        check: Callable[[Manifest], None] = lambda manifest: None,
        *,
        clock: Clock = time.time,
        fresh_max: int = FRESH_MAX,
    ) -> None:
        self._indexes = indexes
        self._catalogue = catalogue
        self._open_encoder = open_encoder
        self._check = check
        self._pointer = catalogue_folder(indexes, catalogue) / CURRENT
        self._clock = clock
        self._fresh_max = fresh_max
        self._one_at_a_time = threading.Lock()
        # Held while the log is read or written, and never by a request that only reads.
        self._changing = threading.Lock()
        # Held for an assignment, so that no two of them undo each other.
        self._swapping = threading.Lock()
        self._last_error: str | None = None
        self._change_error: str | None = None
        self._look_again_at = 0.0
        self._seen = _stamp(self._pointer)
        self._current, self._log = self._load(current_version(indexes, catalogue), encoder=None)

    @property
    def current(self) -> Serving:
        """What to answer from; the same object until something changes or expires."""
        serving, now = self._current, self._clock()
        if serving.shelf.at(now) is serving.shelf:
            return serving
        with self._swapping:
            self._current = replace(self._current, shelf=self._current.shelf.at(now))
            return self._current

    @property
    def last_error(self) -> str | None:
        """Why what should be served is not; None when it is."""
        return self._last_error or self._change_error

    def refresh(self, prepare: Callable[[Serving], None] = lambda serving: None) -> bool:
        """Serve the published version if it changed; returns whether it was replaced.

        Args:
            prepare: called with a version that is about to be served, for as long as it takes.

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
                return self._follow(prepare)
            except (MagpieError, OSError) as error:
                self._last_error = str(error)
                _log.error("keeping %s: %s", self._current.snapshot.name, error)
                return False

    def catch_up(self) -> bool:
        """Take over what others changed; returns whether there was something.

        Costs a listing and a `stat` when there was not. A damaged log leaves what is served.
        """
        with self._changing:
            if self._clock() < self._look_again_at:
                return False
            try:
                has_changed = self._take(self._log.read_new())
                self._change_error = None
                return has_changed
            except (MagpieError, OSError) as error:
                self._look_again_at = self._clock() + _DAMAGED_AGAIN_S
                self._change_error = str(error)
                _log.error("changes of %s are not taken over: %s", self._catalogue, error)
                return False

    def commit(self, changes: Sequence[Change]) -> Accepted:
        """Store changes for good and serve them, all or none. Blocks; call it from a thread.

        When it returns, the changes are on the disk and in `current`; every other process has
        them with its next `catch_up`.

        Args:
            changes: of one request, at most one an id; their sequence is given here.

        Raises:
            ItemNotFound: there is no item to patch or delete.
            TooManyChanges: a rebuild is due.
            ChangesNotStored: the disk refuses.
            Overloaded: another process has been writing for too long.
            EncodingFailed, CorruptArtifact: see `FreshItems.apply`, `ChangeLog.writing`.
        """
        with self._changing, self._log.writing() as reading:
            self._take(reading)
            encoder, fresh = self._current.encoder, self._current.shelf.fresh
            known = [self._current.shelf.row(change.id) is not None for change in changes]
            for change, is_known in zip(changes, known, strict=True):
                if not is_known and not isinstance(change, Put):
                    raise ItemNotFound("There is no such item.", "It may have been deleted.")
            next_ = self._log.sequence + 1
            after = fresh.apply([numbered(each, next_) for each in changes], encoder.encode_items)
            self._check_room(len(fresh.items), len(after.items))
            # Last of all, so that nothing that could still fail is in the log.
            self._log.append(changes)
            self._compact()
            self._show(after)
            return Accepted(next_, known.count(False), known.count(True))

    def _take(self, reading: Reading) -> bool:
        if not reading.changes and not reading.is_restart:
            return False
        current = self._current
        fresh = FreshItems.none(current.snapshot) if reading.is_restart else current.shelf.fresh
        try:
            self._show(fresh.apply(reading.changes, current.encoder.encode_items))
        except MagpieError:
            # They are read but not taken over: next time from the start.
            self._log = self._new_log()
            raise
        return True

    def _show(self, fresh: FreshItems) -> None:
        with self._swapping:
            frozen = self._current.shelf.frozen
            shelf = Shelf.of(fresh, self._clock(), frozen, self._log.revision)
            self._current = replace(self._current, shelf=shelf)

    def _check_room(self, before: int, after: int) -> None:
        if after > self._fresh_max and after > before:
            raise TooManyChanges(
                f"{self._catalogue} has {before} fresh items, and {self._fresh_max} are the limit.",
                "Build and publish a new version, which takes them in; deletions go on.",
            )

    def _compact(self) -> None:
        try:
            self._log.compact_if_due()
        except ChangesNotStored as error:
            # The changes themselves are safe, and the log is tried again at the next ones.
            _log.warning("the change log of %s could not be compacted: %s", self._catalogue, error)

    def _follow(self, prepare: Callable[[Serving], None]) -> bool:
        version = current_version(self._indexes, self._catalogue)
        replaced = version != self._current.snapshot.version
        if replaced:
            serving, log = self._load(version, self._current.encoder)
            prepare(serving)
            with self._changing:
                # What was changed while the version was opened.
                meanwhile = log.read_new()
                with self._swapping:
                    self._current, self._log = serving, log
                self._take(meanwhile)
        self._last_error = None
        return replaced

    def _load(self, version: str, encoder: Encoder | None) -> tuple[Serving, ChangeLog]:
        snapshot = open_admitted(version_folder(self._indexes, self._catalogue, version))
        encoder = self._encoder_for(snapshot.manifest, encoder)
        log = self._new_log()
        changes = log.read_new().changes
        fresh = FreshItems.none(snapshot).apply(changes, encoder.encode_items)
        shelf = Shelf.of(fresh, self._clock(), revision=log.revision)
        return Serving(shelf, encoder), log

    def _encoder_for(self, manifest: Manifest, encoder: Encoder | None) -> Encoder:
        wanted = manifest.model
        if wanted.is_external:
            return NoEncoder(wanted, manifest.dim)
        self._check(manifest)
        if encoder is None or encoder.identity != wanted:
            encoder = self._open_encoder(wanted)
        _check_match(manifest, encoder)
        return encoder

    def _new_log(self) -> ChangeLog:
        return ChangeLog(catalogue_folder(self._indexes, self._catalogue))


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
