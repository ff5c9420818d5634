"""The files of a change log on the disk: one for each generation, `<generation>.log`."""

import os
from pathlib import Path
from typing import TypeAlias

from service.artifacts import fsync_path

Stamp: TypeAlias = tuple[int, int, int]
"""Generation, size and time of the last write of a file."""


def change_files(folder: Path) -> list[Path]:
    """All files of the log in its folder, the newest generation last; none without a folder."""
    try:
        return sorted(path for path in folder.iterdir() if path.name[:8].isdecimal())
    except FileNotFoundError:
        return []


def change_file(folder: Path, generation: int) -> Path:
    """Name the file of a generation."""
    return folder / f"{generation:08d}.log"


def generation_of(path: Path) -> int:
    """Which generation a file is of."""
    return int(path.name[:8])


def stamp_of(path: Path) -> Stamp:
    """Tell whether a file was written to, without reading it: then its stamp is another."""
    found = path.stat()
    return generation_of(path), found.st_size, found.st_mtime_ns


def read_from(path: Path, offset: int) -> bytes | None:
    """Read the rest of a file; None if it ends before that."""
    with path.open("rb") as file:
        if file.seek(0, os.SEEK_END) < offset:
            return None
        file.seek(offset)
        return file.read()


def write_at(path: Path, offset: int, content: bytes) -> None:
    """Write at the end of a file and force it to the disk; if that fails, take it back.

    Args:
        path: the file.
        offset: where it ends.
        content: what to write.

    Raises:
        OSError: the disk refuses; the file ends where it did.
    """
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


def cut(path: Path, size: int) -> None:
    """Let a file end earlier, and force that to the disk."""
    os.truncate(path, size)
    fsync_path(path)
