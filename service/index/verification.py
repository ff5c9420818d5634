"""Is a version folder exactly what its manifest says? Nothing in it is opened before that."""

import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from service.artifacts import sha256_file
from service.errors import CorruptArtifact
from service.index.layout import MANIFEST
from service.index.manifest import Manifest, read_manifest

_HINT = "Build the index again, or roll back to another version."


def verify_folder(folder: Path, *, hashes: bool = True) -> Manifest:
    """Compare a version folder with its manifest, file by file.

    Args:
        folder: `<indexes>/<catalogue>/<version>`.
        hashes: read every byte; without it only names, kinds and sizes are compared.

    Returns:
        The manifest.

    Raises:
        CorruptArtifact: a file is missing, extra, a link, of another size or another content, or
            the manifest is of another version. The message names the file.
    """
    with _failures_named(folder):
        sizes = {path: size for path, size in _regular_files(folder)}
        manifest = read_manifest(folder)
        _compare(folder, manifest, sizes, hashes=hashes)
    return manifest


def list_files(folder: Path) -> list[str]:
    """Relative paths of all regular files below a folder, forward slashes, sorted.

    Raises:
        CorruptArtifact: there is something else than plain files and folders.
    """
    return sorted(path for path, _ in _regular_files(folder))


def fingerprint(folder: Path) -> str:
    """Digest of what the file system says about the files of a version; reads none of them.

    The same digest again means that nothing was written to any file in between: inode, size, time
    of modification and time of change, which nobody can set. It does not see a disk that rots; a
    service hashes what it opens. A copy of a folder has another digest.

    Raises:
        CorruptArtifact: there is something else than plain files and folders.
    """
    digest = hashlib.sha256()
    with _failures_named(folder):
        for path, _ in sorted(_regular_files(folder)):
            found = (folder / path).stat()
            facts = (path, found.st_size, found.st_ino, found.st_mtime_ns, found.st_ctime_ns)
            digest.update(repr(facts).encode())
    return digest.hexdigest()


@contextmanager
def _failures_named(folder: Path) -> Iterator[None]:
    name = f"{folder.parent.name}/{folder.name}"
    if folder.is_symlink():
        raise CorruptArtifact(f"{name} is a link, not a folder.", _HINT)
    try:
        yield
    except CorruptArtifact as error:
        raise CorruptArtifact(f"{name}: {error.message}", error.hint or _HINT) from error
    except OSError as error:
        raise CorruptArtifact(f"{name}: {error}.", _HINT) from error


def _compare(folder: Path, manifest: Manifest, sizes: dict[str, int], *, hashes: bool) -> None:
    if (manifest.catalogue, manifest.version) != (folder.parent.name, folder.name):
        raise CorruptArtifact(f"{MANIFEST} belongs to {manifest.catalogue}/{manifest.version}.")
    expected = manifest.files.keys() | {MANIFEST}
    for path in sorted(expected ^ sizes.keys()):
        problem = "is missing" if path in expected else "does not belong here"
        raise CorruptArtifact(f"{path} {problem}.")
    # All sizes before any hash: a huge file in a small one's place is refused at once.
    for path, entry in manifest.files.items():
        if sizes[path] != entry.size_bytes:
            raise CorruptArtifact(
                f"{path} has {sizes[path]} bytes, the manifest says {entry.size_bytes}."
            )
    if hashes:
        for path, entry in manifest.files.items():
            if sha256_file(folder / path) != entry.sha256:
                raise CorruptArtifact(f"{path} is not the file that was built: its sha256 differs.")


def _regular_files(folder: Path, prefix: str = "") -> Iterator[tuple[str, int]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            path = prefix + entry.name
            found = entry.stat(follow_symlinks=False)
            if stat.S_ISDIR(found.st_mode):
                yield from _regular_files(folder / entry.name, f"{path}/")
            # A second name for a file is a way to change it from outside the folder.
            elif not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
                raise CorruptArtifact(f"{path} is a link or a special file.")
            else:
                yield path, found.st_size
