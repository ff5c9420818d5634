"""JSON Lines: one object a line, plain or gzipped."""

from collections.abc import Iterator
from typing import IO

import orjson

from service.catalogue.column_map import ColumnMap
from service.catalogue.rows import Reject, Row, RowError, excerpt

MAX_LINE_BYTES = 16 * 1024 * 1024
_BOM = b"\xef\xbb\xbf"


def read_jsonl(file: IO[bytes], columns: ColumnMap | None) -> Iterator[Row | Reject]:
    """Yield the rows of a JSON Lines file; blank lines are skipped, bad ones become rejects.

    Raises:
        InvalidCatalogue: at the end, if a column that `columns` names was in no row.
    """
    seen: set[str] = set()
    for number, line in enumerate(_lines(file), start=1):
        if number == 1:
            line = line.removeprefix(_BOM)
        if not line.strip():
            continue
        try:
            cells = _object(line)
        except RowError as error:
            yield Reject(number, str(error), excerpt(line))
            continue
        seen.update(cells)
        yield Row(number, cells, line)
    if seen and columns is not None:
        columns.require(seen)


def _lines(file: IO[bytes]) -> Iterator[bytes]:
    """Yield lines, those above the limit cut at one byte more than it."""
    while line := file.readline(MAX_LINE_BYTES + 1):
        yield line
        while len(line) > MAX_LINE_BYTES and not line.endswith(b"\n"):
            line = file.readline(MAX_LINE_BYTES + 1)


def _object(line: bytes) -> dict[str, object]:
    if len(line) > MAX_LINE_BYTES:
        raise RowError(f"line is longer than {MAX_LINE_BYTES // 1024**2} MiB")
    try:
        line.decode()
        value: object = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise RowError(f"bad JSON: {error.msg}, at column {error.colno}") from None
    except UnicodeDecodeError as error:
        raise RowError(f"bad encoding: not UTF-8 at byte {error.start + 1}") from None
    if not isinstance(value, dict):
        raise RowError("not an object")
    return value
