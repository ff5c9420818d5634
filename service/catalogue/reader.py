"""Catalogues of any supported format, read once, each bad row named with its file and line."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from service.catalogue.column_map import ColumnMap
from service.catalogue.ids import Places
from service.catalogue.rejects import RejectLog, reject_log
from service.catalogue.rows import Reject, RowError, cut
from service.catalogue.sources import Source, file_part
from service.errors import InvalidCatalogue
from service.types import Item

__all__ = ["ColumnMap", "Reject", "Source", "Tally", "read_catalogue", "read_items"]

_log = logging.getLogger(__name__)

_PROGRESS_ROWS = 1000
# A place is the number of the file in the upper bits and the line in the lower.
_LINE_BITS = 40


@dataclass(frozen=True, slots=True)
class Tally:
    """What a catalogue held: usable items, rows left out, and the digest of everything read."""

    items: int
    rejects: int
    source_sha256: str


def read_items(
    source: Source | Path,
    columns: ColumnMap,
    *,
    refuse: Callable[[Item], str] | None = None,
) -> Iterator[Item | Reject]:
    """Yield the items and rejects of a catalogue, in order, without holding it in memory.

    Of rows with one id the first wins, whichever file it is in.

    Args:
        source: files as `local_source` gives them, or the path of one: .jsonl, .ndjson, .csv,
            .tsv (each also .gz) or .parquet.
        columns: how rows become items.
        refuse: says why an item cannot be used; empty where it can.

    Raises:
        InvalidCatalogue: unknown suffix, no such file, not readable, or a column is missing.
    """
    return _items(as_source(source), columns, refuse)


def read_catalogue(
    source: Source | Path,
    columns: ColumnMap,
    *,
    take: Callable[[Item, int], None],
    rejects_path: Path | None = None,
    max_reject_share: float = 0.01,
    refuse: Callable[[Item], str] | None = None,
    progress: Callable[[int], None] | None = None,
) -> Tally:
    """Read a whole catalogue; write what is left out to `rejects_path` as JSON Lines.

    Args:
        source: see `read_items`.
        columns: how rows become items.
        take: gets each item, and its position among all rows, rejected ones counted too.
        rejects_path: replaced as a whole, also when the read fails on too many rejects.
        max_reject_share: 0 to 1, of all rows.
        refuse: see `read_items`.
        progress: called with the number of rows read so far, every 1,000 rows and at the end.

    Raises:
        InvalidCatalogue: see `read_items`; no usable item; or more rejects than allowed.
    """
    source = as_source(source)
    if rejects_path is not None:
        _check_rejects_path(source, rejects_path)
    items = 0
    with reject_log(rejects_path) as rejects:
        count = 0
        for row in _items(source, columns, refuse):
            if isinstance(row, Reject):
                rejects.add(row)
            else:
                take(row, count)
                items += 1
            count += 1
            if progress and count % _PROGRESS_ROWS == 0:
                progress(count)
        if progress:
            progress(count)
    _check_share(source, items, rejects, max_reject_share, rejects_path)
    if rejects.count:
        _log.warning("%s: %d rows left out of %d", source.name, rejects.count, count)
    return Tally(items, rejects.count, source.sha256)


def as_source(source: Source | Path) -> Source:
    """Take a path as the source that it stands for."""
    return source if isinstance(source, Source) else Source.of_parts([file_part(source)])


def _check_rejects_path(source: Source, rejects_path: Path) -> None:
    for part in source.parts:
        if part.path is not None and part.path.resolve() == rejects_path.resolve():
            raise InvalidCatalogue(
                f"{part.path} cannot be the file of items and of rejects at once."
            )


def _items(
    source: Source, columns: ColumnMap, refuse: Callable[[Item], str] | None
) -> Iterator[Item | Reject]:
    names = [part.name for part in source.parts] if len(source.parts) > 1 else [""]
    seen = Places()
    for number, row in source.rows(columns):
        if isinstance(row, Reject):
            yield replace(row, file=names[number]) if names[number] else row
            continue
        try:
            item = columns.item(row.cells)
            _check_new(item, number << _LINE_BITS | row.line, seen, names)
            if refuse and (reason := refuse(item)):
                raise RowError(reason)
        except RowError as error:
            yield replace(row.reject(str(error)), file=names[number])
        else:
            yield item


def _check_new(item: Item, place: int, seen: Places, names: list[str]) -> None:
    first = seen.first(item.id, place)
    if first == place:
        return
    name, line = names[first >> _LINE_BITS], first & ((1 << _LINE_BITS) - 1)
    where = f"{name}:{line}" if name else f"line {line}"
    raise RowError(f"duplicate id {cut(item.id)}, first in {where}")


def _check_share(
    source: Source, items: int, rejects: RejectLog, allowed: float, rejects_path: Path | None
) -> None:
    rows = items + rejects.count
    if rows == 0:
        raise InvalidCatalogue(f"{source.name} holds no items.")
    if items and rejects.count <= allowed * rows:
        return
    reasons = "; ".join(f"{reject.where}: {reject.reason}" for reject in rejects.first)
    more = "; …" if rejects.count > len(rejects.first) else ""
    where = f"All of them are in {rejects_path}. " if rejects_path else ""
    raise InvalidCatalogue(
        f"{source.name}: {rejects.count:,} of {rows:,} rows cannot be used, "
        f"{100 * allowed:g} % are allowed. {reasons}{more}.",
        f"{where}Mend the rows, or allow a larger share.",
    )
