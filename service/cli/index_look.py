"""`magpie index inspect` and `diff`: what is in a version, and what changed between two."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import orjson
import typer

from service.artifacts import write_atomic
from service.cli import index_findings
from service.cli.console import err, stages
from service.cli.index import Name, Version, index
from service.errors import InvalidInput, VersionNotFound
from service.index.admission import open_admitted
from service.index.layout import catalogue_folder, version_folder, version_names
from service.index.publish import current_version
from service.index.snapshot import Snapshot
from service.settings import Settings

if TYPE_CHECKING:
    from service.pipelines.inspect_index import Inspection

__all__ = ["index"]

Seed = Annotated[int, typer.Option(help="Chooses the sample; the same one, the same findings.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print everything as JSON.")]


@index.command()
def inspect(
    name: Name,
    version: Version = None,
    item: Annotated[
        str | None, typer.Option(help="Show the nearest items of this one, and nothing else.")
    ] = None,
    neighbours: Annotated[
        int, typer.Option("-k", min=1, max=1000, help="How many neighbours of --item.")
    ] = 10,
    map_path: Annotated[
        Path | None, typer.Option("--map", help="Draw a map of the catalogue: FILE.svg.")
    ] = None,
    colour_by: Annotated[
        str | None, typer.Option(help="Attribute that colours the map; chosen when absent.")
    ] = None,
    sample: Annotated[
        int, typer.Option(min=10, help="Items asked for their neighbours, if there are more.")
    ] = 5_000,
    show: Annotated[int, typer.Option(min=1, help="Examples of each kind.")] = 10,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Look inside a version (the served one when none is named): sizes, recall, odd items.

    Reads every item once for duplicates; hubs and outliers are those of a sample.
    """
    from service.pipelines import inspect_index

    if map_path is not None and map_path.suffix.lower() != ".svg":
        raise InvalidInput(f"{map_path} is no SVG file.", "Name it so: --map map.svg")
    snapshot = _open(name, version)
    if item is not None:
        around = inspect_index.neighbourhood(snapshot, item, neighbours)
        _print_json(asdict(around)) if as_json else index_findings.show_neighbourhood(
            around, snapshot.name
        )
    else:
        with stages() as progress:
            found = inspect_index.inspect(
                snapshot, seed=seed, sample=sample, show=show, progress=progress
            )
        _print_json(_described(found)) if as_json else index_findings.show_inspection(found)
    if map_path is not None:
        _draw_map(snapshot, map_path, seed, colour_by)


@index.command()
def diff(
    name: Name,
    before: Annotated[str | None, typer.Argument(help="The served one when absent.")] = None,
    after: Annotated[str | None, typer.Argument(help="The newest one when absent.")] = None,
    sample: Annotated[int, typer.Option(min=1, help="Items whose lists are compared.")] = 500,
    show: Annotated[int, typer.Option(min=1, help="Examples of each kind.")] = 5,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Tell what changed from one version to another: items, and what people are recommended."""
    from service.pipelines.index_difference import difference

    settings = Settings.from_environment()
    after = after or _newest(settings.indexes_dir, name)
    before = before or current_version(settings.indexes_dir, name)
    if before == after:
        raise InvalidInput(
            f"{after} cannot be compared with itself.",
            f"Name two versions; to see them, run: magpie index list {name}",
        )
    old, new = _open(name, before), _open(name, after)
    with stages() as progress:
        found = difference(old, new, seed=seed, sample=sample, show=show, progress=progress)
    _print_json(asdict(found)) if as_json else index_findings.show_difference(found)


def _newest(indexes: Path, name: str) -> str:
    names = version_names(catalogue_folder(indexes, name))
    if not names:
        raise VersionNotFound(
            f"{name} has no versions.", f"Run: magpie index build FILE --name {name}"
        )
    return names[-1]


def _open(name: str, version: str | None) -> Snapshot:
    """Open a version (the served one if None) as carefully as a service does."""
    indexes = Settings.from_environment().indexes_dir
    version = version or current_version(indexes, name)
    folder = version_folder(indexes, name, version)
    with err.status(f"hashing and examining {version}"):
        return open_admitted(folder)


def _draw_map(snapshot: Snapshot, path: Path, seed: int, colour_by: str | None) -> None:
    from service.pipelines.index_map import lay_out
    from service.pipelines.map_drawing import draw

    with err.status("laying out the map"):
        drawn = lay_out(snapshot, seed=seed, colour_by=colour_by)
        write_atomic(path, draw(drawn).encode())
    colours = f"coloured by {drawn.colour_by}" if drawn.colour_by else "without groups to colour"
    err.print(f"{path}: {len(drawn.items):,} items, {colours}", markup=False)


def _print_json(found: dict[str, object]) -> None:
    # Straight out: a console would wrap it. `dict` is for pydantic's models inside.
    typer.echo(orjson.dumps(found, option=orjson.OPT_INDENT_2, default=dict))


def _described(found: "Inspection") -> dict[str, object]:
    return {
        **asdict(found),
        "manifest": found.manifest.model_dump(mode="json"),
        "figures": found.figures.model_dump(mode="json"),
        "size_bytes": found.size_bytes,
    }
