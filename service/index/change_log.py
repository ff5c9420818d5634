"""`changes/`: what happened to a catalogue since its versions were built, on disk before it counts.

One file at a time, `<generation>.log`, only ever appended to, by one process at a time. A change is
acknowledged when its frame has been forced to the disk; a crash leaves a torn end, which readers
pass over and the next writer cuts off. Compaction writes the next generation beside the file and
then removes it. The format is in `change_frames`.
"""

import logging
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TypeAlias

from service.artifacts import exclusive_lock, fsync_path, write_atomic
from service.errors import ChangesNotStored, CorruptArtifact, Overloaded
from service.index.change_frames import (
    FIRST,
    decode_changes,
    decode_header,
    encode_changes,
    encode_frame,
    encode_header,
    frames,
    holds_frame,
)
from service.index.changes import Change, fold, numbered
from service.index.layout import is_version_name
from service.index.manifest import read_manifest

CHANGES = "changes"
"""Folder of the log, beside the versions."""

_LOCK = ".lock"
_LOCK_TRIES_EVERY_S = 0.005
_LOCK_TIMEOUT_S = 10.0
_CHANGES_A_FRAME = 1000
# Below this a log is read in no time, and rewriting it would gain nothing.
_COMPACT_BYTES = 4 << 20

_Stamp: TypeAlias = tuple[int, int, int]
"""Generation, size and time of the last write of a file."""


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

    _generation: int
    _offset: int
    _checksum: bytes
    _sequence: int
    _held_bytes: int
    _stamp: _Stamp | None

    def __init__(self, catalogue: Path, *, compact_bytes: int = _COMPACT_BYTES) -> None:
        self._catalogue = catalogue
        self._folder = catalogue / CHANGES
        self._compact_bytes = compact_bytes
        self._forget()

    @property
    def sequence(self) -> int:
        """Of the last change seen, 0 before any."""
        return self._sequence

    @property
    def revision(self) -> str:
        """Names the state of the log at this reader's place; no two states share a name."""
        return self._checksum.hex()

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
        sequence = self._sequence + 1
        stored = [numbered(change, sequence) for change in changes]
        frame, checksum = encode_frame(encode_changes(stored), self._checksum)
        path = self._path(self._generation)
        try:
            _write_at(path, self._offset, frame)
        except OSError as error:
            raise _not_stored(error) from error
        self._sequence, self._checksum = sequence, checksum
        self._offset += len(frame)
        self._stamp = _stamp(path)
        return stored

    def compact_if_due(self) -> bool:
        """Compact the log if at least half of it should be superfluous. Only inside `writing`."""
        if self._offset < max(self._compact_bytes, 2 * self._held_bytes):
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
            self._begin(self._generation + 1, kept)
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
            is_restart = self._generation != 0
            self._forget()
            return Reading((), is_restart)
        stamp = _stamp(path)
        if stamp == self._stamp:
            return Reading((), is_restart=False)
        is_restart = self._generation != _generation(path)
        if is_restart:
            self._forget(_generation(path))
        changes = self._read_on(path)
        if changes is None:
            # The file is not what this reader has seen of it, or it ends torn: begin again.
            is_restart = True
            self._forget(_generation(path))
            changes = self._read_on(path) or []
        self._stamp = stamp
        return Reading(changes, is_restart)

    def _prepare(self) -> Reading:
        if self._newest() is None:
            # Numbers go on where the versions end, should somebody have removed the log.
            self._forget()
            self._sequence = max(_contained(self._catalogue), default=0)
            self._begin(1, [])
            return Reading((), is_restart=True)
        reading = self.read_new()
        path = self._path(self._generation)
        if path.stat().st_size > self._offset:
            torn = path.stat().st_size - self._offset
            logging.getLogger(__name__).warning("%s: cut off a torn end, %d bytes", path, torn)
            _cut(path, self._offset)
            self._stamp = _stamp(path)
        return reading

    def _begin(self, generation: int, kept: Sequence[Change]) -> None:
        """Write a new file with these changes, and go on from its end."""
        held = [
            encode_changes(kept[start : start + _CHANGES_A_FRAME])
            for start in range(0, len(kept), _CHANGES_A_FRAME)
        ]
        header = encode_header(self._sequence, sum(map(len, held)))
        content, checksum = bytearray(), FIRST
        for payload in chain([header], held):
            frame, checksum = encode_frame(payload, checksum)
            content += frame
        for leftover in self._folder.glob(".*.tmp"):
            leftover.unlink(missing_ok=True)
        path = self._path(generation)
        write_atomic(path, bytes(content))
        for older in _files(self._folder)[:-1]:
            older.unlink(missing_ok=True)
        fsync_path(self._folder)
        self._generation, self._checksum, self._offset = generation, checksum, len(content)
        self._held_bytes = len(content)
        self._stamp = _stamp(path)

    def _read_on(self, path: Path) -> list[Change] | None:
        """Read from this reader's place; None if the file does not go on from there."""
        content = _read_from(path, self._offset)
        if content is None:
            return None
        is_start = self._offset == 0
        changes: list[Change] = []
        end = 0
        for frame in frames(content):
            if frame.previous != self._checksum:
                break
            self._take(frame.payload, changes, path)
            self._checksum, end = frame.checksum, frame.end
        self._offset += end
        if end == len(content):
            return changes
        if not is_start and end == 0:
            return None
        # A file is never without its first frame, and whole frames never follow a torn one.
        if end == 0 or holds_frame(content[end:]):
            raise _damaged(path)
        return changes

    def _take(self, payload: bytes, changes: list[Change], path: Path) -> None:
        try:
            if self._checksum == FIRST:
                self._sequence, self._held_bytes = decode_header(payload)
                return
            changes += (found := decode_changes(payload))
        except (ValueError, KeyError, TypeError) as error:
            raise _damaged(path) from error
        self._sequence = max(self._sequence, *(each.sequence for each in found))

    def _forget(self, generation: int = 0) -> None:
        self._generation = generation
        self._offset = 0
        self._checksum = FIRST
        self._sequence = 0
        self._held_bytes = 0
        self._stamp = None

    def _newest(self) -> Path | None:
        found = _files(self._folder)
        return found[-1] if found else None

    def _path(self, generation: int) -> Path:
        return self._folder / f"{generation:08d}.log"


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


def _read_from(path: Path, offset: int) -> bytes | None:
    """Read the rest of a file; None if it ends before that."""
    with path.open("rb") as file:
        if file.seek(0, os.SEEK_END) < offset:
            return None
        file.seek(offset)
        return file.read()


def _write_at(path: Path, offset: int, content: bytes) -> None:
    """Write and force to the disk; if that fails, take back what was written."""
    descriptor = os.open(path, os.O_WRONLY)
    try:
        try:
            rest = memoryview(content)
            while rest:
                written = os.pwrite(descriptor, rest, offset + len(content) - len(rest))
                rest = rest[written:]
            os.fsync(descriptor)
        except OSError:
            os.ftruncate(descriptor, offset)
            raise
    finally:
        os.close(descriptor)


def _cut(path: Path, size: int) -> None:
    os.truncate(path, size)
    fsync_path(path)


def _files(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.name[:8].isdecimal())
    except FileNotFoundError:
        return []


def _generation(path: Path) -> int:
    return int(path.name[:8])


def _stamp(path: Path) -> _Stamp:
    found = path.stat()
    return _generation(path), found.st_size, found.st_mtime_ns


def _damaged(path: Path) -> CorruptArtifact:
    return CorruptArtifact(
        f"{path.parent.parent.name}/{CHANGES}/{path.name} is damaged.",
        "Restore it from a copy; or move it away, which gives up the changes in it.",
    )


def _not_stored(error: OSError) -> ChangesNotStored:
    return ChangesNotStored(
        f"The changes could not be stored: {error.strerror or error}.",
        "See whether the disk is full or read-only.",
    )
