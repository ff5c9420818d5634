"""Where a catalogue comes from: one file, several files as one, or rows from elsewhere."""

import glob
import gzip
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from service.artifacts import sha256_bytes, sha256_file
from service.catalogue.column_map import ColumnMap
from service.catalogue.formats import Format, format_of
from service.catalogue.rows import Reject, Row
from service.errors import InvalidCatalogue

_GLOB = frozenset("*?[")


@dataclass(frozen=True, slots=True)
class Part:
    """One file, stream or query of a catalogue. It may be read several times.

    Args:
        name: how errors and rejects call it; no folders, no passwords.
        rows: yields its rows and what could not be read; given columns must exist in it.
        sha256: 64 hex digits over what was read; ask when the rows have been read to the end.
        path: where it lies, if it is a local file of the caller's.
    """

    name: str
    rows: Callable[[ColumnMap | None], Iterator[Row | Reject]]
    sha256: Callable[[], str]
    path: Path | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """A catalogue as it was given to us: its parts in order, at least one."""

    name: str
    parts: tuple[Part, ...]

    @classmethod
    def of_parts(cls, parts: Sequence[Part]) -> "Source":
        """Take several parts as one catalogue, in this order."""
        more = f" and {len(parts) - 1} more" if len(parts) > 1 else ""
        return cls(f"{parts[0].name}{more}", tuple(parts))

    @property
    def sha256(self) -> str:
        """Of the one part, or over the digests of all; ask when everything has been read."""
        digests = [part.sha256() for part in self.parts]
        return digests[0] if len(digests) == 1 else sha256_bytes("\n".join(digests).encode())

    def rows(self, columns: ColumnMap | None) -> Iterator[tuple[int, Row | Reject]]:
        """Yield the rows of all parts, each with the number of its part, from 0.

        Raises:
            InvalidCatalogue: a part cannot be read or lacks a column; the message names the part.
        """
        for number, part in enumerate(self.parts):
            try:
                for row in part.rows(columns):
                    yield number, row
            except InvalidCatalogue as error:
                raise InvalidCatalogue(f"{part.name}: {error.message}", error.hint) from error


def local_source(patterns: Sequence[str]) -> Source:
    """Take files as one catalogue.

    Args:
        patterns: paths and globs (`**` too). The files of a glob are sorted; otherwise the order
            is the one given. A file that is named twice counts once.

    Raises:
        InvalidCatalogue: no such file, a format we do not read, or a folder.
    """
    paths = dict.fromkeys(path for pattern in patterns for path in local_files(pattern))
    return Source.of_parts([file_part(path) for path in paths])


def file_part(
    path: Path,
    *,
    file_format: Format | None = None,
    name: str | None = None,
    sha256: str | None = None,
) -> Part:
    """Take a local file as a part.

    Args:
        path: the file.
        file_format: told by the name of the file when absent.
        name: how to call it; the name of the file when absent.
        sha256: of its bytes, where that is known already.

    Raises:
        InvalidCatalogue: no such file, or a format we do not read.
    """
    known = file_format or format_of(path.name)
    if not path.is_file():
        hint = f"Name its files: {path}/*.jsonl" if path.is_dir() else ""
        raise InvalidCatalogue(f"There is no file {path}.", hint)
    return Part(
        name or path.name,
        lambda columns: _file_rows(path, known, columns),
        lambda: sha256 or sha256_file(path),
        path,
    )


def local_files(pattern: str) -> list[Path]:
    """Return the files that a path or glob stands for, sorted.

    Raises:
        InvalidCatalogue: a glob that no file matches; a plain path is not looked at.
    """
    if not _GLOB.intersection(pattern) or Path(pattern).exists():
        return [Path(pattern)]
    found = sorted(Path(path) for path in glob.glob(pattern, recursive=True))
    files = [path for path in found if path.is_file()]
    if not files:
        raise InvalidCatalogue(f"No file matches {pattern}.")
    return files


def _file_rows(
    path: Path, file_format: Format, columns: ColumnMap | None
) -> Iterator[Row | Reject]:
    try:
        with path.open("rb") as raw:
            file = cast(IO[bytes], gzip.GzipFile(fileobj=raw)) if file_format.is_gzip else raw
            yield from file_format.read(file, columns)
    except (OSError, EOFError, zlib.error) as error:
        raise InvalidCatalogue(f"cannot be read: {error}.") from error
