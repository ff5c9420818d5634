"""`magpie serve` and `magpie quickstart`: from a folder of files to a page in a browser."""

from typing import Annotated

import typer

from service.cli.console import end_well_when_told_to, out, stages
from service.settings import Settings


def serve(
    catalogue: Annotated[str | None, typer.Argument(help="Which one; MAGPIE_CATALOGUE.")] = None,
    host: Annotated[str | None, typer.Option(help="Address to bind; MAGPIE_HOST.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to bind; MAGPIE_PORT.")] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes that share the work; MAGPIE_WORKERS.")
    ] = None,
    insecure: Annotated[
        bool | None,
        typer.Option("--insecure", help="Without keys, for anybody who can reach it; read-only."),
    ] = None,
) -> None:
    """Serve the published version of a catalogue; a newly published one is taken over live.

    With several workers, one that dies or hangs is replaced. Beyond 127.0.0.1 it asks for keys:
    see `magpie key`.
    """
    end_well_when_told_to()
    # A second of imports that no other command should pay for.
    from service.api.guard import Guard
    from service.cli.serving import run

    chosen = {"catalogue": catalogue, "host": host, "port": port, "workers": workers}
    chosen["insecure"] = insecure
    settings = Settings.from_environment().model_copy(
        update={name: value for name, value in chosen.items() if value is not None}
    )
    # First of all: whoever may not start should not have to wait for an index to hear it.
    Guard.of(settings)
    run(settings)


def quickstart(
    only_prepare: Annotated[
        bool, typer.Option("--no-serve", help="Stop when the index is published.")
    ] = False,
) -> None:
    """Fetch and export a model, build and publish the sample index, serve it: `make run`.

    What is there already is used as it is.
    """
    end_well_when_told_to()
    from service.api.lifespan import open_live
    from service.cli.serving import run
    from service.pipelines.quickstart import prepare

    settings = Settings.from_environment()
    with stages() as report:
        notices = prepare(settings, report)
    for notice in notices:
        out.print(f"[yellow]note[/] {notice}")
    if only_prepare:
        return
    live = open_live(settings)
    snapshot = live.current.snapshot
    address = f"http://{settings.host}:{settings.port}"
    out.print(
        f"Serving {snapshot.name}, {len(snapshot.table)} items, with {snapshot.manifest.model}"
    )
    out.print(f"\n  [bold]{address}/[/]   the explorer page\n\nTry:\n")
    out.print(
        f"  curl '{address}/search?q=small+balcony+herb+garden&k=3&fields=title'\n", markup=False
    )
    run(settings, live)
