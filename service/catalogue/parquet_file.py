"""Parquet, read batch by batch. Needs pyarrow, which only this module imports, and only in use."""

from collections.abc import Iterator
from types import ModuleType
from typing import IO, TYPE_CHECKING

from service.catalogue.column_map import ColumnMap
from service.catalogue.rows import Reject, Row, cut
from service.errors import InvalidCatalogue

if TYPE_CHECKING:
    from pyarrow import RecordBatch

_BATCH_ROWS = 4096


def read_parquet(file: IO[bytes], columns: ColumnMap | None) -> Iterator[Row | Reject]:
    """Yield the rows of a Parquet file; the row number, from 1, stands for the line.

    Raises:
        InvalidCatalogue: pyarrow is not installed, the file is not Parquet, or it lacks a column.
    """
    pyarrow, parquet = _import_pyarrow()
    try:
        opened = parquet.ParquetFile(file)
        _check_names(opened.schema_arrow.names, columns)
        first = 1
        for batch in opened.iter_batches(batch_size=_BATCH_ROWS):
            yield from _rows(_microseconds(batch, pyarrow), first)
            first += batch.num_rows
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        raise InvalidCatalogue(f"The Parquet file cannot be read: {error}.") from error


def _import_pyarrow() -> tuple[ModuleType, ModuleType]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise InvalidCatalogue(
            "Reading Parquet needs pyarrow.", "Install it: pip install 'magpie[parquet]'"
        ) from None
    return pyarrow, parquet


def _check_names(names: list[str], columns: ColumnMap | None) -> None:
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise InvalidCatalogue(f"A column name stands twice: {', '.join(map(cut, repeated))}.")
    if columns is not None:
        columns.require(names)


def _microseconds(batch: "RecordBatch", pyarrow: ModuleType) -> "RecordBatch":
    """Cut nanosecond times, which Python's datetime cannot hold, to microseconds."""
    for position, field in enumerate(batch.schema):
        if pyarrow.types.is_timestamp(field.type) and field.type.unit == "ns":
            micro = pyarrow.timestamp("us", tz=field.type.tz)
            times = batch.column(position).cast(micro, safe=False)
            batch = batch.set_column(position, field.with_type(micro), times)
    return batch


def _rows(batch: "RecordBatch", first: int) -> Iterator[Row | Reject]:
    try:
        for offset, cells in enumerate(batch.to_pylist()):
            yield Row(first + offset, cells, None)
    except UnicodeDecodeError:
        yield from _rows_one_by_one(batch, first)


def _rows_one_by_one(batch: "RecordBatch", first: int) -> Iterator[Row | Reject]:
    for offset in range(batch.num_rows):
        try:
            (cells,) = batch.slice(offset, 1).to_pylist()
        except UnicodeDecodeError:
            yield Reject(first + offset, "bad encoding: a cell is not UTF-8", "")
        else:
            yield Row(first + offset, cells, None)
