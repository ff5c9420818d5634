"""`changes/`: what happened to a catalogue since its versions were built, on disk before it counts.

One file at a time, `<generation>.log`, only ever appended to, by one process at a time. A change is
acknowledged when its frame has been forced to the disk; a crash leaves a torn end, which readers
pass over and the next writer cuts off. Compaction writes the next generation beside the file and
then removes it. The format is in `change_frames`.
"""

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from service.artifacts import exclusive_lock, fsync_path, write_atomic
from service.errors import ChangesNotStored, CorruptArtifact, Overloaded
from service.index.change_file import (
    change_file,
    change_files,
    cut,
    generation_of,
    stamp_of,
    write_at,
)
from service.index.change_frames import FIRST, encode_changes, encode_frame, encode_header
from service.index.change_place import Place
from service.index.changes import Change, fold, numbered
from service.index.layout import CHANGES, is_version_name
from service.index.manifest import read_manifest

_LOCK = ".lock"
_LOCK_TRIES_EVERY_S = 0.005
_LOCK_TIMEOUT_S = 10.0
_CHANGES_A_FRAME = 1000
# Below this a log is read in no time, and rewriting it would gain nothing.
_COMPACT_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class Reading:
    """What a look into the log brought: `changes` since the last look, oldest first.

    With `is_restart` they are all there are, and what was read before counts for nothing.
    """

    changes: Sequence[Change]
    is_restart: bool


class ChangeLog:
    """One reader's place in the log of a catalogue, and the way to write on.

    Not thread-safe. Any number of processes may read, and write one after the other.

    Args:
        catalogue: `<indexes>/<catalogue>`.
        compact_bytes: a log smaller than this is never compacted.
    """

    def __init__(self, catalogue: Path, *, compact_bytes: int = _COMPACT_BYTES) -> None:
        self._catalogue = catalogue
        self._folder = catalogue / CHANGES
        self._compact_bytes = compact_bytes
        self._place = Place()

    @property
    def sequence(self) -> int:
        """Of the last change seen, 0 before any."""
        return self._place.sequence

    @property
    def revision(self) -> str:
        """Names the state of the log at this reader's place; no two states share a name."""
        return self._place.checksum.hex()

    def read_new(self) -> Reading:
        """Return what was appended since the last look; costs a listing if nothing was.

        Raises:
            CorruptArtifact: the log is damaged before its end.
        """
        while True:
            try:
                return self._look()
            except FileNotFoundError:
                # Compacted between the listing and the opening: there is a newer file now.
                continue

    @contextmanager
    def writing(self) -> Iterator[Reading]:
        """Be the only writer; yields what others have appended meanwhile.

        Raises:
            Overloaded: somebody else has been writing for too long.
            ChangesNotStored: the folder cannot be written.
            CorruptArtifact: the log is damaged before its end.
        """
        with ExitStack() as held:
            try:
                held.enter_context(_patient_lock(self._folder / _LOCK))
                reading = self._prepare()
            except OSError as error:
                raise _not_stored(error) from error
            yield reading

    def append(self, changes: Sequence[Change]) -> Sequence[Change]:
        """Store changes of one request, all or none; returns them with their sequence.

        Only inside `writing`. When it returns, they are on the disk.

        Raises:
            ChangesNotStored: the disk refuses; nothing was stored.
        """
        place = self._place
        sequence = place.sequence + 1
        stored = [numbered(change, sequence) for change in changes]
        frame, checksum = encode_frame(encode_changes(stored), place.checksum)
        path = change_file(self._folder, place.generation)
        try:
            write_at(path, place.offset, frame)
        except OSError as error:
            raise _not_stored(error) from error
        place.sequence, place.checksum = sequence, checksum
        place.offset += len(frame)
        place.stamp = stamp_of(path)
        return stored

    def compact_if_due(self) -> bool:
        """Compact the log if at least half of it should be superfluous. Only inside `writing`."""
        if self._place.offset < max(self._compact_bytes, 2 * self._place.held_bytes):
            return False
        self.compact()
        return True

    def compact(self) -> None:
        """Keep one change an id, and none that every version on disk contains.

        Only inside `writing`. Every other reader starts again from the new file.

        Raises:
            ChangesNotStored: the disk refuses; the log is as it was.
        """
        everything = ChangeLog(self._catalogue).read_new().changes
        kept = fold(everything, after=min(_contained(self._catalogue), default=0))
        try:
            self._begin(self._place.generation + 1, kept)
        except OSError as error:
            raise _not_stored(error) from error

    def drop_contained(self) -> None:
        """Drop what every version on disk contains: after a publication, and after pruning.

        Kept as long as one version lacks it, so that no rollback brings back a deleted item.

        Raises:
            Overloaded, ChangesNotStored, CorruptArtifact: see `writing`.
        """
        everywhere = min(_contained(self._catalogue), default=0)
        kept = ChangeLog(self._catalogue).read_new().changes
        if any(change.sequence <= everywhere for change in kept):
            with self.writing():
                self.compact()

    def _look(self) -> Reading:
        path = self._newest()
        if path is None:
            is_restart = self._place.generation != 0
            self._place = Place()
            return Reading((), is_restart)
        stamp = stamp_of(path)
        if stamp == self._place.stamp:
            return Reading((), is_restart=False)
        is_restart = self._place.generation != generation_of(path)
        if is_restart:
            self._place = Place.start_of(path)
        changes = self._place.read_on(path)
        if changes is None:
            # The file is not what this reader has seen of it, or it ends torn: begin again.
            is_restart = True
            self._place = Place.start_of(path)
            changes = self._place.read_on(path) or []
        self._place.stamp = stamp
        return Reading(changes, is_restart)

    def _prepare(self) -> Reading:
        if self._newest() is None:
            # Numbers go on where the versions end, should somebody have removed the log.
            self._place = Place(sequence=max(_contained(self._catalogue), default=0))
            self._begin(1, [])
            return Reading((), is_restart=True)
        reading = self.read_new()
        path = change_file(self._folder, self._place.generation)
        if path.stat().st_size > self._place.offset:
            torn = path.stat().st_size - self._place.offset
            logging.getLogger(__name__).warning("%s: cut off a torn end, %d bytes", path, torn)
            cut(path, self._place.offset)
            self._place.stamp = stamp_of(path)
        return reading

    def _begin(self, generation: int, kept: Sequence[Change]) -> None:
        """Write a new file with these changes, and go on from its end."""
        held = [
            encode_changes(kept[start : start + _CHANGES_A_FRAME])
            for start in range(0, len(kept), _CHANGES_A_FRAME)
        ]
        sequence = self._place.sequence
        header = encode_header(sequence, sum(map(len, held)))
        content, checksum = bytearray(), FIRST
        for payload in chain([header], held):
            frame, checksum = encode_frame(payload, checksum)
            content += frame
        for leftover in self._folder.glob(".*.tmp"):
            leftover.unlink(missing_ok=True)
        path = change_file(self._folder, generation)
        write_atomic(path, bytes(content))
        for older in change_files(self._folder)[:-1]:
            older.unlink(missing_ok=True)
        fsync_path(self._folder)
        size = len(content)
        self._place = Place(generation, size, checksum, sequence, size, stamp_of(path))

    def _newest(self) -> Path | None:
        found = change_files(self._folder)
        return found[-1] if found else None


def _contained(catalogue: Path) -> list[int]:
    """How far the changes reach that each version on disk contains; 0 where nobody can tell."""
    return [_contained_in(path) for path in catalogue.iterdir() if is_version_name(path.name)]


def _contained_in(version: Path) -> int:
    try:
        return read_manifest(version).contained_changes
    except CorruptArtifact:
        return 0


@contextmanager
def _patient_lock(path: Path) -> Iterator[None]:
    """Wait a while for a lock: a writer holds it for one write, or for one compaction."""
    deadline = time.monotonic() + _LOCK_TIMEOUT_S
    with ExitStack() as held:
        while True:
            try:
                held.enter_context(exclusive_lock(path))
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise Overloaded(
                        "Another process has been writing changes for too long.", "Try again."
                    ) from None
                time.sleep(_LOCK_TRIES_EVERY_S)
        yield


def _not_stored(error: OSError) -> ChangesNotStored:
    return ChangesNotStored(
        f"The changes could not be stored: {error.strerror or error}.",
        "See whether the disk is full or read-only.",
    )
