"""Which reader belongs to a file: told by its name, or by an option where it has none."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, TypeAlias

from service.catalogue.column_map import ColumnMap
from service.catalogue.csv_file import read_csv
from service.catalogue.jsonl_file import read_jsonl
from service.catalogue.parquet_file import read_parquet
from service.catalogue.rows import Reject, Row
from service.errors import InvalidCatalogue

ReadRows: TypeAlias = Callable[[IO[bytes], ColumnMap | None], Iterator[Row | Reject]]

_READERS: Mapping[str, ReadRows] = {
    ".jsonl": read_jsonl,
    ".ndjson": read_jsonl,
    ".csv": read_csv,
    ".tsv": partial(read_csv, delimiter="\t"),
    ".parquet": read_parquet,
}
SUPPORTED = "Supported: .jsonl, .ndjson, .csv, .tsv, each also with .gz, and .parquet."


@dataclass(frozen=True, slots=True)
class Format:
    """How the bytes of a file become rows."""

    read: ReadRows
    is_gzip: bool


def format_of(name: str) -> Format:
    """Tell the format from the suffix of a file's name.

    Raises:
        InvalidCatalogue: none that we read.
    """
    lower = name.lower()
    is_gzip = lower.endswith(".gz")
    read = _READERS.get(Path(lower.removesuffix(".gz")).suffix)
    if read is None or (is_gzip and read is read_parquet):
        raise InvalidCatalogue(f"The format of {name} is not known by its name.", SUPPORTED)
    return Format(read, is_gzip)


def format_named(option: str) -> Format:
    """Look up a format by its suffix, with or without the dot: `csv`, `jsonl.gz`.

    Raises:
        InvalidCatalogue: none that we read.
    """
    try:
        return format_of(f"_.{option.lstrip('.')}")
    except InvalidCatalogue:
        raise InvalidCatalogue(f"There is no format {option!r}.", SUPPORTED) from None
