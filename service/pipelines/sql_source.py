"""The rows of a database query as a catalogue. Needs SQLAlchemy, which is an extra."""

import hashlib
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from service.catalogue.column_map import ColumnMap
from service.catalogue.rows import Reject, Row, cut
from service.catalogue.sources import Part, Source
from service.errors import InvalidCatalogue, InvalidSettings

if TYPE_CHECKING:
    from sqlalchemy import CursorResult, Engine

_ROWS_AT_ONCE = 4096


def sql_source(url: str, query: str) -> Source:
    """Take a query as a catalogue: streamed with a cursor on the server where there is one.

    Every reading runs the query again, in a transaction that is rolled back.

    Args:
        url: of the database, as SQLAlchemy writes it: `postgresql+psycopg://user:pw@host/shop`.
        query: one SELECT. Give it an ORDER BY: the order of the rows is the order of the items.

    Raises:
        InvalidSettings: SQLAlchemy or the driver is missing, or the URL is none.
    """
    engine = _open(url)
    digest = hashlib.sha256()

    def rows(columns: ColumnMap | None) -> Iterator[Row | Reject]:
        nonlocal digest
        digest = hashlib.sha256()
        with _failures_told(), engine.connect() as connection:
            streaming = connection.execution_options(
                stream_results=True, max_row_buffer=_ROWS_AT_ONCE
            )
            yield from _rows(streaming.exec_driver_sql(query), columns, digest)

    name = f"{engine.url.get_backend_name()}:{Path(engine.url.database or 'query').name}"
    return Source.of_parts([Part(name, rows, lambda: digest.hexdigest())])


def _open(url: str) -> "Engine":
    try:
        import sqlalchemy
        from sqlalchemy.exc import ArgumentError, NoSuchModuleError
    except ImportError:
        raise InvalidSettings(
            "Reading from a database needs SQLAlchemy.", "Install it: pip install 'magpie[sql]'"
        ) from None
    try:
        return sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool)
    except (ArgumentError, NoSuchModuleError):
        # Their messages may repeat the URL, and the URL may hold a password.
        raise InvalidSettings(
            "The URL of the database cannot be used.", "For example: sqlite:///shop.db"
        ) from None
    except ImportError as error:
        raise InvalidSettings(
            f"The driver of this database is missing: {error}.", "Install it with pip."
        ) from None


@contextmanager
def _failures_told() -> Iterator[None]:
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except SQLAlchemyError as error:
        cause = getattr(error, "orig", None) or error
        raise InvalidCatalogue(f"The database refuses: {cause}.") from None


def _rows(
    result: "CursorResult[tuple[object, ...]]", columns: ColumnMap | None, digest: "hashlib._Hash"
) -> Iterator[Row | Reject]:
    if not result.returns_rows:
        raise InvalidCatalogue("The query returns no rows.", "Write a SELECT.")
    names = list(result.keys())
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise InvalidCatalogue(f"A column name stands twice: {', '.join(map(cut, repeated))}.")
    if columns is not None:
        columns.require(names)
    digest.update(repr(names).encode())
    for line, values in enumerate(result.yield_per(_ROWS_AT_ONCE), start=1):
        row = tuple(map(_plain, values))
        digest.update(repr(row).encode(errors="replace"))
        yield Row(line, dict(zip(names, row, strict=True)), None)


def _plain(value: object) -> object:
    """Turn what only databases have into text."""
    return str(value) if isinstance(value, uuid.UUID) else value
