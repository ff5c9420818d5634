"""CSV and TSV with a header line."""

import csv
import io
import re
from collections.abc import Callable, Iterator, Sequence
from typing import IO

from service.catalogue.column_map import ColumnMap
from service.catalogue.rows import Reject, Row, RowError, cut, excerpt
from service.catalogue.values import clean_name
from service.errors import InvalidCatalogue

# Not "007", "1e5", "+1" or "nan", which are more often codes and words than quantities, and no
# more digits than a float keeps.
_WHOLE = re.compile(r"-?(?:0|[1-9][0-9]{0,14})")
_DECIMAL = re.compile(r"-?(?:0|[1-9][0-9]{0,14})\.[0-9]{1,15}")


class _Lines:
    """Lines of a text file, counted, and kept until the record that they belong to is complete."""

    def __init__(self, file: io.TextIOWrapper) -> None:
        self._file = file
        self.first = 1
        self.taken: list[str] = []

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        line = next(self._file)
        self.taken.append(line)
        return line

    def next_record(self) -> None:
        self.first += len(self.taken)
        self.taken.clear()


def read_csv(
    file: IO[bytes], columns: ColumnMap | None, *, delimiter: str = ","
) -> Iterator[Row | Reject]:
    """Yield the rows of a CSV file (UTF-8, with or without a byte order mark).

    A cell that is a plain number becomes one, except in the columns that `columns` names; an
    empty cell is missing; columns without a name are left out. A field longer than 131,072
    characters, which is what an unclosed quote leads to, rejects each line that it ran over.

    Raises:
        InvalidCatalogue: no usable header, or it lacks a column that `columns` names.
    """
    text = io.TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline="")
    try:
        yield from _rows(_Lines(text), columns, delimiter)
    finally:
        text.detach()  # the file is the caller's to close


def _rows(lines: _Lines, columns: ColumnMap | None, delimiter: str) -> Iterator[Row | Reject]:
    records = csv.reader(lines, delimiter=delimiter, strict=True)
    header = _header(records, columns)
    as_text = columns.as_text if columns else frozenset()
    converters = [_text if name in as_text else _number_or_text for name in header]
    while True:
        lines.next_record()
        try:
            record = next(records)
        except StopIteration:
            return
        except csv.Error as error:
            yield from _unreadable(lines, error)
            continue
        if record:
            yield _row(lines, record, header, converters)


def _header(records: Iterator[list[str]], columns: ColumnMap | None) -> list[str]:
    try:
        header = [name.strip() for name in next(records, [])]
        for name in filter(None, header):
            clean_name(name)
    except (csv.Error, RowError) as error:
        raise InvalidCatalogue(f"The header line cannot be read: {error}.") from None
    if not any(header):
        raise InvalidCatalogue("The file has no header line.", "Name the columns in line 1.")
    repeated = {name for name in header if name and header.count(name) > 1}
    if repeated:
        names = ", ".join(map(cut, sorted(repeated)))
        raise InvalidCatalogue(f"The header names a column twice: {names}.")
    if columns is not None:
        columns.require([name for name in header if name])
    return header


def _unreadable(lines: _Lines, error: csv.Error) -> Iterator[Reject]:
    """Reject every line of a record that cannot be read, so that the count stays true."""
    yield Reject(lines.first, f"bad CSV: {error}", excerpt(lines.taken[0]))
    for offset, line in enumerate(lines.taken[1:], start=1):
        reason = f"bad CSV: part of the row that starts in line {lines.first}"
        yield Reject(lines.first + offset, reason, excerpt(line))


def _row(
    lines: _Lines,
    record: list[str],
    header: list[str],
    converters: Sequence[Callable[[str], object]],
) -> Row | Reject:
    source = "".join(lines.taken)
    if len(record) != len(header):
        reason = f"wrong number of fields: {len(record)} instead of {len(header)}"
        return Reject(lines.first, reason, excerpt(source))
    cells = {
        name: convert(cell)
        for name, convert, cell in zip(header, converters, record, strict=True)
        if name and cell and not cell.isspace()
    }
    return Row(lines.first, cells, source)


def _text(cell: str) -> str:
    return cell


def _number_or_text(cell: str) -> str | int | float:
    if _WHOLE.fullmatch(cell):
        return int(cell)
    return float(cell) if _DECIMAL.fullmatch(cell) else cell
