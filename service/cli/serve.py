"""`magpie serve` and `magpie quickstart`: from a folder of files to a page in a browser."""

import logging
import os
import signal
import socket
import sys
from collections.abc import Sequence
from functools import partial
from multiprocessing.connection import Connection
from tempfile import TemporaryDirectory
from typing import Annotated, Final, NoReturn

import typer
from prometheus_client.multiprocess import mark_process_dead

from service.api.exposure import exposure
from service.api.guard import Guard
from service.api.lifespan import open_live
from service.api.metrics import FOLDER_VARIABLE
from service.cli.console import err, failures_told, logs_to_stderr, out, stages
from service.index.live import Live
from service.server.cores import cores, too_many_threads
from service.server.pulse import Pulse
from service.server.server import GRACE_S, listen, serve_here
from service.server.supervisor import Supervisor
from service.settings import Settings

# After the requests under way: for the caches to be closed.
_LAST_S: Final = 5.0


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
    _end_well_when_told_to()
    chosen = {"catalogue": catalogue, "host": host, "port": port, "workers": workers}
    chosen["insecure"] = insecure
    settings = Settings.from_environment().model_copy(
        update={name: value for name, value in chosen.items() if value is not None}
    )
    # First of all: whoever may not start should not have to wait for an index to hear it.
    Guard.of(settings)
    _run(settings)


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


def _run(settings: Settings, live: Live | None = None) -> None:
    """Serve, here or in workers; they open the index themselves."""
    _warn(settings)
    if settings.workers > 1:
        _watch_over_workers(settings)
    if live is None:
        # Before uvicorn starts, so that a missing index is told in two lines, without a traceback.
        with err.status("opening and verifying the index"):
            live = open_live(settings)
    listener = listen(settings.host, settings.port)
    serve_here(settings, live, listener, _listen_for_admins(settings))


def _watch_over_workers(settings: Settings) -> NoReturn:
    listeners = [listen(settings.host, settings.port)]
    admins = _listen_for_admins(settings)
    level = logging.getLogger().getEffectiveLevel()
    with TemporaryDirectory(prefix="magpie-metrics-") as folder:
        # Read when a worker imports what counts.
        os.environ[FOLDER_VARIABLE] = folder
        supervisor = Supervisor(
            partial(_work, settings, level),
            settings.workers,
            [*listeners, *([admins] if admins is not None else [])],
            silence_s=settings.worker_silence_s,
            grace_s=settings.drain_s + GRACE_S + _LAST_S,
            on_end=lambda pid: mark_process_dead(pid, folder),  # type: ignore[no-untyped-call]
        )
        exit_code = supervisor.run()
    sys.exit(exit_code)


def _work(
    settings: Settings,
    log_level: int,
    place: int,
    listeners: Sequence[socket.socket],
    pulse: Connection,
) -> None:
    """Serve as one of several, in a process that was started for it."""
    # What is typed at a terminal is for the supervisor, which passes it on.
    os.setsid()
    logs_to_stderr(log_level)
    _end_well_when_told_to()
    listener, *admins = listeners
    # One of them is enough to steer by.
    for each in admins if place else ():
        each.close()
    with failures_told():
        admin = admins[0] if admins and not place else None
        serve_here(settings, open_live(settings), listener, admin, Pulse(pulse))


def _warn(settings: Settings) -> None:
    if exposure(settings) == "insecure":
        err.print(
            f"[bold red]warning[/] INSECURE: whoever reaches {settings.host} reads everything "
            "here, and nobody is asked for a key."
        )
    if (problem := too_many_threads(settings, cores())) is not None:
        err.print(f"[bold red]warning[/] {problem}")


def _listen_for_admins(settings: Settings) -> socket.socket | None:
    if settings.admin_port is None:
        return None
    return listen(settings.admin_host, settings.admin_port)


def _end_well_when_told_to() -> None:
    # While the index is opened: as process 1 of a container there is no default action.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
