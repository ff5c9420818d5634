"""Model files from a folder on this machine: copied, never linked, and only what is pinned."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from service.errors import ModelNotFound, ModelRejected
from service.pipelines.model_intake import Weights, is_wanted, missing_parts
from service.pipelines.remote_files import Order

_CHUNK_BYTES = 1 << 20


def copy_from_folder(order: Order, source: Path, folder: Path) -> None:
    """Copy the wanted files of a model out of a folder; all others stay where they are.

    Raises:
        ModelNotFound: there is no such folder.
        ModelRejected: an allowed name is a link or no plain file, or a necessary file is missing.
    """
    if not source.is_dir():
        raise ModelNotFound(f"{source.name!r} is not a folder.", "Name a folder with model files.")
    names = sorted(_wanted_names(source, order.weights))
    for name in missing_parts(names):
        raise ModelRejected(
            f"{order.record.id}: the folder has no {name}, and we take no other format."
        )
    total = sum((source / name).lstat().st_size for name in names)
    done = 0
    for name in names:
        target = folder / name
        target.parent.mkdir(exist_ok=True)
        for size in _copy(source / name, name, target):
            done += size
            order.progress(done, total)


def _wanted_names(source: Path, weights: Weights) -> list[str]:
    # One folder deep: a model has no deeper files.
    entries = [*source.iterdir()]
    deeper = [path for entry in entries if entry.is_dir() for path in entry.iterdir()]
    names = [str(PurePosixPath(path.relative_to(source))) for path in (*entries, *deeper)]
    return [name for name in names if is_wanted(name, weights)]


def _copy(path: Path, name: str, target: Path) -> Iterator[int]:
    """Copy one plain file through one descriptor, so that what was looked at is what is read.

    Yields the size of every piece.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise ModelRejected(
            f"{name}: is a symbolic link or cannot be read.", "Copy the files with `cp -L`."
        ) from error
    with os.fdopen(descriptor, "rb") as source:
        status = os.fstat(source.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise ModelRejected(f"{name}: is not a regular file.")
        if status.st_nlink != 1 or path.parent.is_symlink():
            raise ModelRejected(f"{name}: is a hard link or lies behind a link.")
        with target.open("wb") as output:
            while chunk := source.read(_CHUNK_BYTES):
                output.write(chunk)
                yield len(chunk)
