"""A catalogue as it is named at a terminal: files, globs, `-`, URLs; see also `sql_source`."""

import hashlib
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from service.catalogue.formats import format_named, format_of
from service.catalogue.sources import Part, Source, file_part, local_files, local_source
from service.errors import InvalidCatalogue, InvalidSettings, MagpieError

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

STDIN = "-"
Fetched = Callable[[int, int | None], None]
"""Told the bytes that have been fetched, and of how many if known."""

_CHUNK_BYTES = 1 << 20


@contextmanager
def opened_source(
    places: Sequence[str],
    *,
    file_format: str | None = None,
    stdin: IO[bytes] | None = None,
    progress: Fetched | None = None,
) -> Iterator[Source]:
    """Yield a catalogue of files from anywhere, taken as one.

    What is not a local file is fetched into a temporary folder (TMPDIR says where), hashed on the
    way, and deleted when the block ends.

    Args:
        places: paths, globs, `-` for the standard input, and URLs that fsspec knows: `https://`,
            `s3://`, `gs://` and more, with globs where the store can list.
        file_format: of files whose name does not tell, e.g. `csv` or `jsonl.gz`.
        stdin: the standard input, if it is to be another one.
        progress: told how far fetching is.

    Raises:
        InvalidCatalogue: nothing there, or in a format that we do not read.
        InvalidSettings: a package is missing; the hint names it.
    """
    if not places:
        raise InvalidCatalogue("No catalogue is named.", "Name a file, a URL, or - for stdin.")
    with tempfile.TemporaryDirectory(prefix="magpie-catalogue-") as folder:
        parts: list[Part] = []
        for place in places:
            into = Path(folder, str(len(parts)))
            if place == STDIN:
                parts.append(_stdin_part(stdin or sys.stdin.buffer, file_format, into, progress))
            elif "://" in place:
                parts += _url_parts(place, file_format, into, progress)
            else:
                parts += _local_parts(place, file_format)
        unique = {part.path: part for part in parts}  # a file that is named twice counts once
        yield Source.of_parts(list(unique.values()))


def _local_parts(place: str, file_format: str | None) -> Sequence[Part]:
    if file_format is None:
        return local_source([place]).parts
    known = format_named(file_format)
    return [file_part(path, file_format=known) for path in local_files(place)]


def _stdin_part(
    stdin: IO[bytes], file_format: str | None, into: Path, progress: Fetched | None
) -> Part:
    if file_format is None:
        raise InvalidCatalogue(
            "The standard input has no name to tell its format by.", "Add --format jsonl, or csv …"
        )
    known = format_named(file_format)
    digest = _copy(stdin, into, None, progress)
    return file_part(into, file_format=known, name="stdin", sha256=digest)


def _url_parts(
    url: str, file_format: str | None, into: Path, progress: Fetched | None
) -> Iterator[Part]:
    protocol = url.partition("://")[0]
    store, path = _open_store(url, protocol)
    try:
        # Only the rest of a URL is a pattern: https://host/x.csv?sig=1 is one file.
        is_pattern = not protocol.startswith("http") and any(mark in path for mark in "*[")
        found = sorted(map(str, store.glob(path))) if is_pattern else [path]
        for number, each in enumerate(found):
            name = _name_of(each)
            known = format_named(file_format) if file_format else format_of(name)
            target = into.with_name(f"{into.name}-{number}")
            with store.open(each, "rb") as remote:
                digest = _copy(remote, target, getattr(remote, "size", None), progress)
            yield file_part(target, file_format=known, name=name, sha256=digest)
    except MagpieError:
        raise
    except Exception as error:
        # The edge to foreign stores, each of which raises what its own client raises.
        raise InvalidCatalogue(f"{_shown(url)} cannot be fetched: {_reason(error)}.") from None
    if not found:
        raise InvalidCatalogue(f"No file matches {_shown(url)}.")


def _open_store(url: str, protocol: str) -> "tuple[AbstractFileSystem, str]":
    try:
        import fsspec
    except ImportError:
        raise InvalidSettings(
            f"Reading {protocol}:// needs fsspec.", "Install it: pip install 'magpie[fsspec]'"
        ) from None
    try:
        store, path = fsspec.core.url_to_fs(url)
    except ImportError as error:
        raise InvalidSettings(
            f"Reading {protocol}:// needs one more package: {error}.",
            f"Install it: pip install 'magpie[fsspec]' {_PACKAGES.get(protocol, '')}".rstrip(),
        ) from None
    except ValueError as error:
        raise InvalidCatalogue(f"{_shown(url)} cannot be read: {error}.") from None
    return store, path


_PACKAGES = {"s3": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "abfs": "adlfs", "az": "adlfs"}


def _copy(source: IO[bytes], path: Path, size_bytes: int | None, progress: Fetched | None) -> str:
    """Copy a stream into a file; returns its sha256."""
    digest, done = hashlib.sha256(), 0
    with path.open("xb") as file:
        while chunk := source.read(_CHUNK_BYTES):
            digest.update(chunk)
            done += file.write(chunk)
            if progress:
                progress(done, size_bytes)
    if size_bytes is not None and done != size_bytes:
        raise OSError(f"ended after {done} of {size_bytes} bytes")
    return digest.hexdigest()


def _name_of(path: str) -> str:
    """The last step of a path, without what a URL carries behind it."""
    return unquote(urlsplit(path).path.rstrip("/").rpartition("/")[2]) or "catalogue"


def _shown(url: str) -> str:
    """A URL without the passwords and signatures that it may carry."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}"


def _reason(error: Exception) -> str:
    # Messages of stores repeat the URL, signature and all.
    return getattr(error, "strerror", None) or type(error).__name__
