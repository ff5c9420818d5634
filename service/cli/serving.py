"""The processes of `magpie serve`: one, or several and who watches over them."""

import logging
import os
import socket
import sys
from collections.abc import Sequence
from functools import partial
from multiprocessing.connection import Connection
from tempfile import TemporaryDirectory
from typing import Final, NoReturn

from prometheus_client.multiprocess import mark_process_dead

from service.api.exposure import exposure
from service.api.lifespan import open_live
from service.api.metrics import FOLDER_VARIABLE
from service.cli.console import end_well_when_told_to, err, failures_told, logs_to_stderr
from service.index.live import Live
from service.server.cores import cores, too_many_threads
from service.server.pulse import Pulse
from service.server.server import GRACE_S, listen, serve_here
from service.server.supervisor import Supervisor
from service.settings import Settings

# After the requests under way: for the caches to be closed.
_LAST_S: Final = 5.0


def run(settings: Settings, live: Live | None = None) -> None:
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
    end_well_when_told_to()
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
