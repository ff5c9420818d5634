"""How far a reader of the change log has come, and how it reads on from there."""

from dataclasses import dataclass
from pathlib import Path

from service.errors import CorruptArtifact
from service.index.change_file import Stamp, generation_of, read_from
from service.index.change_frames import (
    FIRST,
    decode_changes,
    decode_header,
    frames,
    holds_frame,
)
from service.index.changes import Change
from service.index.layout import CHANGES


@dataclass(slots=True)
class Place:
    """A place in one file of the log; the first place of all by default.

    Attributes:
        generation: which file; 0 before any.
        offset: bytes of it that were read.
        checksum: of the last frame that was read.
        sequence: of the last change that was read, or that the file says went before it.
        held_bytes: what was kept when the file was made.
        stamp: of the file when it was last looked at.
    """

    generation: int = 0
    offset: int = 0
    checksum: bytes = FIRST
    sequence: int = 0
    held_bytes: int = 0
    stamp: Stamp | None = None

    @classmethod
    def start_of(cls, path: Path) -> "Place":
        """The place before the first frame of a file."""
        return cls(generation_of(path))

    def read_on(self, path: Path) -> list[Change] | None:
        """Read to the end and stay there; None if the file does not go on from this place.

        Raises:
            CorruptArtifact: the file is damaged before its end.
        """
        content = read_from(path, self.offset)
        if content is None:
            return None
        is_start = self.offset == 0
        changes: list[Change] = []
        end = 0
        for frame in frames(content):
            if frame.previous != self.checksum:
                break
            self._take(frame.payload, changes, path)
            self.checksum, end = frame.checksum, frame.end
        self.offset += end
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
            if self.checksum == FIRST:
                self.sequence, self.held_bytes = decode_header(payload)
                return
            changes += (found := decode_changes(payload))
        except (ValueError, KeyError, TypeError) as error:
            raise _damaged(path) from error
        self.sequence = max(self.sequence, *(each.sequence for each in found))


def _damaged(path: Path) -> CorruptArtifact:
    return CorruptArtifact(
        f"{path.parent.parent.name}/{CHANGES}/{path.name} is damaged.",
        "Restore it from a copy; or move it away, which gives up the changes in it.",
    )
