"""`magpie index …`: build a version, publish it, go back, list, verify."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from service.cli.columns import columns_of
from service.cli.console import err, out, stages
from service.index import publish as publication
from service.index import retention
from service.index.gates import Gate, Limits
from service.settings import Settings

if TYPE_CHECKING:
    from service.pipelines.build_index import BuildReport

index = typer.Typer(help="Build, publish and look after indexes.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="Name of the catalogue, e.g. films.")]
_LIMITS = Limits()
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
            columns_of(id_column, text, split),
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
def publish(
    name: Name,
    version: Version = None,
    force: Annotated[
        bool, typer.Option("--force", help="Publish it even if gates fail; the journal says so.")
    ] = False,
    recall_floor: Annotated[
        float, typer.Option(min=0, max=1, help="Least recall@10 that is accepted.")
    ] = _LIMITS.recall,
    overlap_floor: Annotated[
        float, typer.Option(min=0, max=1, help="Least overlap@10 with what is served.")
    ] = _LIMITS.overlap,
) -> None:
    """Hold a version (the newest when none is named) against the gates, then serve it.

    Exit code 3: another publisher is at work. 4: a gate failed, and what is served stays.
    """
    settings = Settings.from_environment()
    with err.status("hashing and examining the version"):
        switch = publication.publish(
            settings.indexes_dir,
            name,
            version,
            now=datetime.now(UTC),
            limits=Limits(recall=recall_floor, overlap=overlap_floor),
            force=force,
            told=_print_gates,
        )
    forced = " in spite of the gates" if switch.forced else ""
    out.print(f"Published {name}@{switch.after}{forced}; before: {switch.before or 'nothing'}")


@index.command()
def rollback(name: Name, version: Version = None) -> None:
    """Go back to the version that was served before, or to a named one."""
    settings = Settings.from_environment()
    switch = publication.rollback(settings.indexes_dir, name, version, now=datetime.now(UTC))
    out.print(f"Rolled back {name} from {switch.before} to {switch.after}")


@index.command()
def prune(
    name: Name,
    keep: Annotated[int, typer.Option(min=1, help="How many of the newest versions stay.")] = 3,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Delete old versions. The served one and the one a rollback would go to always stay."""
    settings = Settings.from_environment()
    going = retention.prunable(settings.indexes_dir, name, keep)
    for each in going:
        out.print(f"  {each.version}  {each.size_bytes / 1e6:,.1f} MB")
    if not going:
        out.print("Nothing to delete.")
    elif yes or typer.confirm(f"Delete {len(going)} of {name}?", abort=True):
        freed = retention.prune(settings.indexes_dir, name, keep)
        total = sum(each.size_bytes for each in freed)
        out.print(f"Deleted {len(freed)} versions, {total / 1e6:,.1f} MB")


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
    """Compare every byte of a version (the served one when none is named), and open it."""
    settings = Settings.from_environment()
    manifest = publication.verify(settings.indexes_dir, name, version)
    files = len(manifest.files)
    out.print(f"{name}@{manifest.version}: {files} files, every one as it was built; it opens")


def _print_gates(gates: Sequence[Gate]) -> None:
    table = Table(title="Gates")
    for heading in ("gate", "figure", "limit", "verdict", "note"):
        table.add_column(heading, overflow="fold")
    colours = {"passed": "green", "failed": "bold red", "skipped": "yellow"}
    for gate in gates:
        table.add_row(
            gate.name,
            "-" if gate.figure is None else f"{gate.figure:g}",
            gate.limit,
            Text(gate.verdict, colours[gate.verdict]),
            Text(gate.note),
        )
    out.print(table)


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
