"""`magpie catalogue check`: what a file of items holds, before anything is built of it."""

import sys
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import orjson
import typer
from rich.table import Table
from rich.text import Text

from service.cli.columns import separators_of, template_of
from service.cli.console import out, stages
from service.cli.sources import FormatOption, Places, QueryOption, SqlOption, source_of

if TYPE_CHECKING:
    from service.catalogue.profile import ColumnProfile
    from service.pipelines.check_catalogue import CatalogueCheck, Items

_SAMPLE_CHARACTERS = 24

catalogue = typer.Typer(help="Look at catalogues.", no_args_is_help=True)


@catalogue.callback()
def verbs() -> None:
    """Look at catalogues."""


@catalogue.command()
def check(
    source: Places = None,
    id_column: Annotated[str | None, typer.Option("--id", help="Column of the id.")] = None,
    text: Annotated[
        list[str] | None, typer.Option(help="Columns to embed, or one template.")
    ] = None,
    split: Annotated[
        list[str] | None, typer.Option(help="COLUMN=SEPARATOR for lists, e.g. 'genres=|'.")
    ] = None,
    file_format: FormatOption = None,
    sql: SqlOption = None,
    query: QueryOption = None,
    max_rejects: Annotated[
        float, typer.Option(min=0, max=1, help="Share of bad rows that is put up with.")
    ] = 0.01,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Read everything and report columns, fill rates, values and bad rows; propose the options.

    Exits with 1 where `magpie index build` would refuse the catalogue.
    """
    from service.pipelines.check_catalogue import check_catalogue, describe

    with (
        stages() as progress,
        source_of(source, file_format, sql, query, progress) as opened,
    ):
        found = check_catalogue(
            opened,
            item_id=id_column,
            text=template_of(text) if text else None,
            split=separators_of(split) if split else None,
            progress=progress,
        )
    if as_json:
        out.print_json(orjson.dumps(describe(found)).decode())
    else:
        _print(found, source or ["…"])
    items = found.items
    if items is None or not items.count or items.reject_share > max_rejects:
        sys.exit(1)


def _print(found: "CatalogueCheck", places: list[str]) -> None:
    profile = found.profile
    table = Table(title=f"{found.source}: {profile.rows:,} rows")
    for heading in ("column", "kind", "filled", "distinct", "min", "max", "longest", "e.g."):
        justify = "right" if heading in ("filled", "distinct", "min", "max", "longest") else "left"
        table.add_column(heading, justify=justify, overflow="fold")  # type: ignore[arg-type]
    for column in profile.columns.values():
        table.add_row(*(Text(cell) for cell in _cells(column, profile.fill_rate(column))))
    out.print(table)
    if found.items is not None:
        _print_items(found.items)
    _print_proposal(found, places)


def _cells(column: "ColumnProfile", filled: float) -> tuple[str, ...]:
    about = "" if column.distinct.is_exact else "~"
    return (
        column.name,
        column.kind,
        f"{100 * filled:.1f} %",
        f"{about}{column.distinct.count:,}",
        "" if column.least is None else f"{column.least:g}",
        "" if column.most is None else f"{column.most:g}",
        f"{column.longest:,}" if column.longest else "",
        " · ".join(sample[:_SAMPLE_CHARACTERS] for sample in column.samples[:2]),
    )


def _print_items(items: "Items") -> None:
    out.print(
        f"{items.count:,} items; {items.rejects:,} rows left out "
        f"({100 * items.reject_share:.2g} %); {items.repeated_texts:,} texts that repeat another; "
        f"longest text {items.longest_text:,} characters"
    )
    for reason, count in items.reasons.most_common():
        out.print(f"  {count:,} x {reason}", markup=False)
    for reject in items.examples:
        out.print(f"    {reject.where}: {reject.reason}", markup=False)
    if items.sample_text:
        out.print(f"  first text: {items.sample_text[:200]}", markup=False)


def _print_proposal(found: "CatalogueCheck", places: list[str]) -> None:
    proposal = found.proposal
    if proposal.id is None:
        out.print("No column has a different value in every row; say which one is the --id.")
    if proposal.text is None:
        out.print("No column holds text; say which ones to embed: --text title")
    if proposal.id is None or proposal.text is None:
        return
    split = [f"--split {quote(f'{name}={mark}')}" for name, mark in proposal.split.items()]
    command = (
        "magpie index build",
        *map(quote, places),
        "--name NAME",
        f"--id {quote(proposal.id)}",
        f"--text {quote(proposal.text.pattern)}",
        *split,
    )
    out.print("Build it: " + " ".join(command), markup=False)
