"""`magpie index …`: build a version, publish it, go back, list, verify."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from service.catalogue.column_map import ColumnMap
from service.catalogue.text import TextTemplate
from service.cli.console import out, stages
from service.errors import InvalidSettings
from service.index import publish as publication
from service.settings import Settings

if TYPE_CHECKING:
    from service.pipelines.build_index import BuildReport

index = typer.Typer(help="Build, publish and look after indexes.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="Name of the catalogue, e.g. films.")]
Version = Annotated[str | None, typer.Argument(help="A version, see `magpie index list`.")]


@index.command()
def build(
    source: Annotated[Path, typer.Argument(help="JSONL, CSV, TSV or Parquet, also .gz.")],
    name: Annotated[str, typer.Option(help="Name of the catalogue: a-z, 0-9 and hyphens.")],
    id_column: Annotated[str, typer.Option("--id", help="Column that holds the id.")] = "id",
    text: Annotated[
        list[str] | None,
        typer.Option(help='Columns to embed, or one template such as "{title}. {genres}".'),
    ] = None,
    split: Annotated[
        list[str] | None, typer.Option(help="COLUMN=SEPARATOR for lists, e.g. 'genres=|'.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Model id; MAGPIE_MODEL.")] = None,
    threads: Annotated[int, typer.Option(min=1, help="Cores for encoding.")] = 1,
    max_rejects: Annotated[
        float, typer.Option(min=0, max=1, help="Share of bad rows that is put up with.")
    ] = 0.01,
    seed: Annotated[int, typer.Option(help="Same seed, same index.")] = 0,
    publish_it: Annotated[bool, typer.Option("--publish", help="Publish it as well.")] = False,
) -> None:
    """Read a catalogue, encode it, build and measure an index; a new version, not yet served.

    All other columns become attributes to filter by and to return.
    """
    from service.pipelines.build_index import build as build_index

    settings = Settings.from_environment()
    with stages() as progress:
        report = build_index(
            source,
            ColumnMap(
                id=id_column, text=_template(text or ["text"]), split=_separators(split or [])
            ),
            name=name,
            models=settings.models_dir,
            indexes=settings.indexes_dir,
            model_id=model or settings.model,
            threads=threads,
            max_reject_share=max_rejects,
            seed=seed,
            now=datetime.now(UTC),
            progress=progress,
        )
    out.print(f"Built {name}@{report.version}")
    _print_report(report)
    if publish_it:
        publish(name, report.version)
    else:
        out.print(f"Serve it: magpie index publish {name} && magpie serve {name}")


@index.command()
def publish(name: Name, version: Version = None) -> None:
    """Verify a version (the newest when none is named) and make it the one that is served."""
    settings = Settings.from_environment()
    switch = publication.publish(settings.indexes_dir, name, version, now=datetime.now(UTC))
    out.print(f"Published {name}@{switch.after}; before: {switch.before or 'nothing'}")


@index.command()
def rollback(name: Name, version: Version = None) -> None:
    """Go back to the version that was served before, or to a named one."""
    settings = Settings.from_environment()
    switch = publication.rollback(settings.indexes_dir, name, version, now=datetime.now(UTC))
    out.print(f"Rolled back {name} from {switch.before} to {switch.after}")


@index.command("list")
def list_versions(name: Name) -> None:
    """Show every version of a catalogue, oldest first."""
    settings = Settings.from_environment()
    table = Table(title=name)
    for heading in ("", "version", "items", "dim", "type", "recall@10", "model"):
        table.add_column(heading, overflow="fold", no_wrap=heading == "version")
    for listed in publication.versions(settings.indexes_dir, name):
        mark = "→" if listed.is_current else ""
        if listed.manifest is None:
            table.add_row(mark, listed.version, Text(listed.problem, "red"))
            continue
        manifest = listed.manifest
        table.add_row(
            mark,
            listed.version,
            f"{manifest.items:,}",
            str(manifest.dim),
            manifest.factory,
            f"{manifest.recall_at_10:.3f}",
            str(manifest.model) + (" (stand-in)" if manifest.stand_in else ""),
        )
    if table.row_count:
        out.print(table)
    else:
        out.print(f"{name} has no versions. Build one: magpie index build FILE --name {name}")


@index.command()
def verify(name: Name, version: Version = None) -> None:
    """Compare every byte of a version (the served one when none is named) with its manifest."""
    settings = Settings.from_environment()
    manifest = publication.verify(settings.indexes_dir, name, version)
    out.print(f"{name}@{manifest.version}: {len(manifest.files)} files, every one as it was built")


def _print_report(report: "BuildReport") -> None:
    out.print(
        f"  {report.items:,} items, {report.rejects:,} rows left out"
        + (f" (see {report.rejects_path})" if report.rejects_path else "")
    )
    out.print(f"  {report.factory}, recall@10 {report.recall_at_10:.3f} against exact search")
    seconds = ", ".join(f"{stage} {spent:.1f} s" for stage, spent in report.seconds.items())
    out.print(
        f"  {seconds}; {report.texts_per_second:.0f} texts/s; {report.total_bytes / 1e6:.1f} MB"
    )


def _template(text: list[str]) -> TextTemplate:
    if len(text) == 1 and "{" in text[0]:
        return TextTemplate(text[0])
    return TextTemplate.of_fields(text)


def _separators(split: list[str]) -> dict[str, str]:
    separators = {}
    for each in split:
        column, equals, separator = each.partition("=")
        if not equals or not column or not separator:
            raise InvalidSettings(f"--split {each} is not COLUMN=SEPARATOR.", "E.g. 'genres=|'")
        separators[column] = separator
    return separators
