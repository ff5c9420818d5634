"""Where a catalogue comes from, as it is said at a terminal; shared by the verbs that read one."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from service.catalogue.sources import Source
from service.errors import InvalidSettings

Places: TypeAlias = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="SOURCE...",
        help="Files, 'globs*', URLs (https, s3, gs …) or - for stdin: "
        "JSONL, CSV, TSV, Parquet, also .gz. Several are read as one.",
        show_default=False,
    ),
]
FormatOption: TypeAlias = Annotated[
    str | None,
    typer.Option("--format", help="Of files whose name does not tell: jsonl, csv, tsv.gz …"),
]
SqlOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--sql",
        envvar="MAGPIE_SQL_URL",
        show_envvar=True,
        help="Read a database instead: its URL, e.g. sqlite:///shop.db.",
    ),
]
QueryOption: TypeAlias = Annotated[
    str | None, typer.Option("--query", help="The SELECT to run there, or @FILE with it.")
]


@contextmanager
def source_of(
    places: Sequence[str] | None,
    file_format: str | None,
    sql: str | None,
    query: str | None,
    progress: Callable[[str, int, int | None], None],
) -> Iterator[Source]:
    """Yield the catalogue that the options name.

    Raises:
        InvalidSettings: options that contradict each other, or a package is missing.
        InvalidCatalogue: there is no such catalogue.
    """
    from service.pipelines.catalogue_source import opened_source
    from service.pipelines.sql_source import sql_source

    if query is None:
        if sql and not places:
            raise InvalidSettings("--sql needs --query.", "--query 'SELECT …', or --query @FILE")
        with opened_source(
            places or [],
            file_format=file_format,
            progress=lambda done, total: progress("fetch", done, total),
        ) as source:
            yield source
        return
    if places or file_format or sql is None:
        raise InvalidSettings(
            "--query goes with --sql, and with no file.",
            "For example: --sql sqlite:///shop.db --query 'SELECT * FROM items ORDER BY id'",
        )
    yield sql_source(sql, _read_query(query))


def _read_query(query: str) -> str:
    if not query.startswith("@"):
        return query
    try:
        return Path(query[1:]).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidSettings(f"The query cannot be read from {query[1:]}: {error}.") from None
