"""What workers do in the tests of the supervisor: functions of a module, for new processes."""

import os
import signal
import socket
import sys
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path

from service.server.pulse import Pulse


def _begin(folder: Path, place: int) -> int:
    """Leave a mark; how many workers had this place before."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
    before = len(list(folder.glob(f"{place}-*")))
    (folder / f"{place}-{os.getpid()}").touch()
    return before


def serve(folder: Path, place: int, _: Sequence[socket.socket], pulse: Connection) -> None:
    """Beat until told to end, or until nobody listens."""
    _begin(folder, place)
    beating = Pulse(pulse)
    while beating.beat():
        time.sleep(0.02)
    (folder / "alone").touch()


def get_stuck(folder: Path, place: int, _: Sequence[socket.socket], pulse: Connection) -> None:
    """Serve, and then be in a call that does not end; those that come after serve well."""
    if _begin(folder, place):
        serve(folder, place, _, pulse)
    Pulse(pulse).beat()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(600)


def leave_slowly(folder: Path, place: int, _: Sequence[socket.socket], pulse: Connection) -> None:
    """Serve, say farewell, and take a while to end."""
    if _begin(folder, place):
        serve(folder, place, _, pulse)
    beating = Pulse(pulse)
    beating.beat()
    beating.leave()
    time.sleep(1.0)
    (folder / "left").touch()


def fail(folder: Path, place: int, _: Sequence[socket.socket], pulse: Connection) -> None:
    """Do not get as far as serving."""
    _begin(folder, place)
    sys.exit(7)


def fail_later(folder: Path, place: int, _: Sequence[socket.socket], pulse: Connection) -> None:
    """Serve for a moment; those that come after do not get that far."""
    if _begin(folder, place):
        sys.exit(7)
    Pulse(pulse).beat()
    time.sleep(0.3)


def ignore(folder: Path, place: int, _: Sequence[socket.socket], pulse: Connection) -> None:
    """Beat, and do not listen."""
    _begin(folder, place)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    beating = Pulse(pulse)
    while beating.beat():
        time.sleep(0.02)
