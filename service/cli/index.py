"""`magpie index …`: build a version, publish it, go back, list, verify."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from service.cli.console import err, out
from service.index import publish as publication
from service.index import retention
from service.index.gates import Gate, Limits
from service.settings import Settings

index = typer.Typer(help="Build, publish and look after indexes.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="Name of the catalogue, e.g. films.")]
_LIMITS = Limits()
Version = Annotated[str | None, typer.Argument(help="A version, see `magpie index list`.")]


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
        versions = "1 version" if len(freed) == 1 else f"{len(freed)} versions"
        out.print(f"Deleted {versions}, {total / 1e6:,.1f} MB")


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
            gate.shown,
            gate.limit,
            Text(gate.verdict, colours[gate.verdict]),
            Text(gate.note),
        )
    out.print(table)
