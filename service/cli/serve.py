"""`magpie serve` and `magpie quickstart`: from a folder of files to a page in a browser."""

import ipaddress
import signal
import sys
from typing import Annotated

import typer
import uvicorn

from service.api.app import create_app
from service.api.lifespan import open_live
from service.cli.console import err, out, stages
from service.errors import InvalidSettings
from service.index.live import Live
from service.settings import Settings

_GRACE_S = 10


def serve(
    catalogue: Annotated[str | None, typer.Argument(help="Which one; MAGPIE_CATALOGUE.")] = None,
    host: Annotated[str | None, typer.Option(help="Address to bind; MAGPIE_HOST.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to bind; MAGPIE_PORT.")] = None,
) -> None:
    """Serve the published version of a catalogue; a newly published one is taken over live."""
    _end_well_when_told_to()
    chosen = {"catalogue": catalogue, "host": host, "port": port}
    settings = Settings.from_environment().model_copy(
        update={name: value for name, value in chosen.items() if value is not None}
    )
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
    if not _is_loopback(settings.host):
        err.print(
            f"[bold red]warning[/] {settings.host} can be reached by others, and this version "
            "asks nobody for a key. Put it behind something that does."
        )
    uvicorn.run(
        create_app(settings, live),
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_GRACE_S,
    )


def _end_well_when_told_to() -> None:
    # As process 1 of a container there is no default action. And uvicorn repeats the signal once
    # it has shut down: a service that was told to end, and did, has done well.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        raise InvalidSettings(
            f"{host!r} is not an address to bind.", "Give an IP address, or localhost."
        ) from None
