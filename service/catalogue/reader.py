"""Files of items in any supported format, read once, each bad row named with its line."""

import gzip
import logging
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, TypeAlias, cast

from service.artifacts import sha256_file
from service.catalogue.column_map import ColumnMap
from service.catalogue.csv_file import read_csv
from service.catalogue.jsonl_file import read_jsonl
from service.catalogue.parquet_file import read_parquet
from service.catalogue.rejects import RejectLog, reject_log
from service.catalogue.rows import Reject, Row, RowError, cut
from service.errors import InvalidCatalogue
from service.types import Item

__all__ = ["Catalogue", "ColumnMap", "Reject", "read_catalogue", "read_items"]

_log = logging.getLogger(__name__)

_ReadRows: TypeAlias = Callable[[IO[bytes], ColumnMap], Iterator[Row | Reject]]
_FORMATS: Mapping[str, _ReadRows] = {
    ".jsonl": read_jsonl,
    ".ndjson": read_jsonl,
    ".csv": read_csv,
    ".tsv": partial(read_csv, delimiter="\t"),
    ".parquet": read_parquet,
}
_PROGRESS_ROWS = 1000


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Every usable item of one file, in file order, and how many rows were left out."""

    items: tuple[Item, ...]
    rejects: int
    source_sha256: str


def read_items(path: Path, columns: ColumnMap) -> Iterator[Item | Reject]:
    """Yield the items and rejects of a file, in order, without holding it in memory.

    The suffix names the format: .jsonl, .ndjson, .csv, .tsv (each also .gz) or .parquet.
    Of rows with one id the first wins.

    Raises:
        InvalidCatalogue: unknown suffix, no such file, not readable, or a column is missing.
    """
    read_rows, is_gzip = _format(path)
    if not path.is_file():
        raise InvalidCatalogue(f"There is no file {path}.")
    return _items(_rows(path, read_rows, columns, is_gzip=is_gzip), columns)


def read_catalogue(
    path: Path,
    columns: ColumnMap,
    *,
    rejects_path: Path | None = None,
    max_reject_share: float = 0.01,
    progress: Callable[[int], None] | None = None,
) -> Catalogue:
    """Read a whole file of items; write what is left out to `rejects_path` as JSON Lines.

    Args:
        path: the file, see `read_items`.
        columns: how rows become items.
        rejects_path: replaced as a whole, also when the read fails on too many rejects.
        max_reject_share: 0 to 1, of all rows.
        progress: called with the number of rows read so far, every 1,000 rows and at the end.

    Raises:
        InvalidCatalogue: see `read_items`; no usable item; or more rejects than allowed.
    """
    if rejects_path is not None and rejects_path.resolve() == path.resolve():
        raise InvalidCatalogue(f"{path} cannot be the file of items and of rejects at once.")
    rows = read_items(path, columns)
    with reject_log(rejects_path) as rejects:
        items = tuple(_collect(rows, rejects, progress or _ignore))
    _check_share(path, len(items), rejects, max_reject_share, rejects_path)
    if rejects.count:
        _log.warning("%s: %d rows left out of %d", path, rejects.count, rejects.count + len(items))
    return Catalogue(items, rejects.count, sha256_file(path))


def _format(path: Path) -> tuple[_ReadRows, bool]:
    name = path.name.lower()
    is_gzip = name.endswith(".gz")
    read_rows = _FORMATS.get(Path(name.removesuffix(".gz")).suffix)
    if read_rows is None or (is_gzip and read_rows is read_parquet):
        raise InvalidCatalogue(
            f"The format of {path.name} is not known by its name.",
            "Supported: .jsonl, .ndjson, .csv, .tsv, each also with .gz, and .parquet.",
        )
    return read_rows, is_gzip


def _rows(
    path: Path, read_rows: _ReadRows, columns: ColumnMap, *, is_gzip: bool
) -> Iterator[Row | Reject]:
    """Open the file and read it, with every failure told as one of this file."""
    try:
        with path.open("rb") as raw:
            file = cast(IO[bytes], gzip.GzipFile(fileobj=raw)) if is_gzip else raw
            yield from read_rows(file, columns)
    except InvalidCatalogue as error:
        raise InvalidCatalogue(f"{path.name}: {error.message}", error.hint) from error
    except (OSError, EOFError, zlib.error) as error:
        raise InvalidCatalogue(f"{path.name} cannot be read: {error}.") from error


def _items(rows: Iterator[Row | Reject], columns: ColumnMap) -> Iterator[Item | Reject]:
    first_lines: dict[str, int] = {}
    for row in rows:
        if isinstance(row, Reject):
            yield row
            continue
        try:
            item = columns.item(row.cells)
            first = first_lines.setdefault(item.id, row.line)
            if first != row.line:
                raise RowError(f"duplicate id {cut(item.id)}, first in line {first}")
        except RowError as error:
            yield row.reject(str(error))
        else:
            yield item


def _collect(
    rows: Iterator[Item | Reject], rejects: RejectLog, progress: Callable[[int], None]
) -> Iterator[Item]:
    count = 0
    for row in rows:
        count += 1
        if isinstance(row, Reject):
            rejects.add(row)
        else:
            yield row
        if count % _PROGRESS_ROWS == 0:
            progress(count)
    progress(count)


def _ignore(count: int) -> None:
    """Report progress to nobody."""


def _check_share(
    path: Path, items: int, rejects: RejectLog, allowed: float, rejects_path: Path | None
) -> None:
    rows = items + rejects.count
    if rows == 0:
        raise InvalidCatalogue(f"{path.name} holds no items.")
    if items and rejects.count <= allowed * rows:
        return
    reasons = "; ".join(f"line {reject.line}: {reject.reason}" for reject in rejects.first)
    more = "; …" if rejects.count > len(rejects.first) else ""
    where = f"All of them are in {rejects_path}. " if rejects_path else ""
    raise InvalidCatalogue(
        f"{path.name}: {rejects.count:,} of {rows:,} rows cannot be used, "
        f"{100 * allowed:g} % are allowed. {reasons}{more}.",
        f"{where}Mend the rows, or allow a larger share.",
    )
