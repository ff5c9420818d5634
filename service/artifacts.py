"""Files that are either whole or absent: hashes, staged folders, pointers, locks.

Order of every publication: write under a temporary name, fsync the file, rename, fsync the
folder. A rename without the last step may be lost in a crash (Pillai et al., OSDI 2014).
"""

import fcntl
import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_READ_BYTES = 1 << 20
_STAGING_PREFIX = ".staging-"


def sha256_bytes(content: bytes) -> str:
    """Hash bytes; returns 64 hex digits."""
    return hashlib.sha256(content).hexdigest()


def sha256_file(path: Path) -> str:
    """Hash a regular file without reading it whole into memory; returns 64 hex digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_READ_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def fsync_path(path: Path) -> None:
    """Force a file's bytes, or a folder's entries, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(path: Path) -> None:
    """Create a folder and its missing parents, each one's name forced to the disk."""
    if path.is_dir():
        return
    make_folder(path.parent)
    path.mkdir(exist_ok=True)
    fsync_path(path.parent)


def write_atomic(path: Path, content: bytes, *, mode: int | None = None) -> None:
    """Replace `path` so that a reader sees the old bytes or the new ones, never a part.

    The new file has `mode` before its first byte; where that is None, what the umask leaves.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("wb") as file:
            if mode is not None:
                os.fchmod(file.fileno(), mode)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    fsync_path(path.parent)


@contextmanager
def staged_folder(final: Path) -> Iterator[Path]:
    """Yield an empty sibling folder that becomes `final` if the block succeeds, else vanishes.

    Raises:
        FileExistsError: `final` exists already; versions are never edited.
    """
    if final.exists():
        raise FileExistsError(final)
    make_folder(final.parent)
    staging = final.with_name(f"{_STAGING_PREFIX}{final.name}-{secrets.token_hex(4)}")
    staging.mkdir()
    try:
        yield staging
        for path in sorted(staging.rglob("*")):
            fsync_path(path)
        fsync_path(staging)
        staging.rename(final)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise
    fsync_path(final.parent)


def discard_folder(path: Path) -> None:
    """Delete a folder in one step as far as readers can see, then free what it took.

    Interrupted after the first step, `remove_staging` does the rest. Who has opened or mapped a
    file of it keeps that file.
    """
    doomed = path.with_name(f"{_STAGING_PREFIX}{path.name}-{secrets.token_hex(4)}")
    path.rename(doomed)
    fsync_path(path.parent)
    shutil.rmtree(doomed)


def remove_staging(parent: Path) -> list[Path]:
    """Delete what interrupted `staged_folder` blocks left in `parent`; returns what was removed.

    Call it only while holding the lock of `parent`.
    """
    leftovers = sorted(parent.glob(f"{_STAGING_PREFIX}*"))
    for path in leftovers:
        shutil.rmtree(path, ignore_errors=True)
    return leftovers


@contextmanager
def exclusive_lock(path: Path) -> Iterator[None]:
    """Hold an advisory lock on `path` (created if absent), released when the process ends.

    Raises:
        BlockingIOError: somebody else holds it.
    """
    make_folder(path.parent)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o640)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)
