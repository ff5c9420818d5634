"""`magpie serve` and `magpie quickstart`: from a folder of files to a page in a browser."""

import signal
import sys
from typing import Annotated

import typer

from service.api.admin import create_admin_app
from service.api.app import create_app
from service.api.guard import Guard
from service.api.lifespan import open_live
from service.api.metrics import Metrics
from service.api.readiness import Readiness
from service.cli.console import err, out, stages
from service.index.live import Live
from service.server.server import Admin, Server, ServerConfig, listen
from service.settings import Settings


def serve(
    catalogue: Annotated[str | None, typer.Argument(help="Which one; MAGPIE_CATALOGUE.")] = None,
    host: Annotated[str | None, typer.Option(help="Address to bind; MAGPIE_HOST.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to bind; MAGPIE_PORT.")] = None,
    insecure: Annotated[
        bool | None,
        typer.Option("--insecure", help="Without keys, for anybody who can reach it; read-only."),
    ] = None,
) -> None:
    """Serve the published version of a catalogue; a newly published one is taken over live.

    Beyond 127.0.0.1 it asks for keys: see `magpie key`.
    """
    _end_well_when_told_to()
    chosen = {"catalogue": catalogue, "host": host, "port": port, "insecure": insecure}
    settings = Settings.from_environment().model_copy(
        update={name: value for name, value in chosen.items() if value is not None}
    )
    # First of all: whoever may not start should not have to wait for an index to hear it.
    Guard.of(settings)
    # Before uvicorn starts, so that a missing index is told in two lines and not in a traceback.
    with err.status("opening and verifying the index"):
        live = open_live(settings)
    _run(settings, live)


def quickstart(
    only_prepare: Annotated[
        bool, typer.Option("--no-serve", help="Stop when the index is published.")
    ] = False,
) -> None:
    """Fetch and export a model, build and publish the sample index, serve it: `make run`.

    What is there already is used as it is.
    """
    from service.pipelines.quickstart import prepare

    _end_well_when_told_to()
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
    _run(settings, live)


def _run(settings: Settings, live: Live) -> None:
    readiness, metrics = Readiness(), Metrics()
    app = create_app(settings, live, readiness=readiness, metrics=metrics)
    if app.guard.exposed == "insecure":
        err.print(
            f"[bold red]warning[/] INSECURE: whoever reaches {settings.host} reads everything "
            "here, and nobody is asked for a key."
        )
    config = ServerConfig(app, settings, readiness, metrics)
    admin = None
    if settings.admin_port is not None:
        steering = create_admin_app(app.guard, metrics)
        admin = Admin(
            ServerConfig(steering, settings, readiness, metrics),
            listen(settings.admin_host, settings.admin_port),
        )
    Server(config, admin).run([listen(settings.host, settings.port)])


def _end_well_when_told_to() -> None:
    # While the index is opened: as process 1 of a container there is no default action.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
