"""Several workers on one listener: started, watched, replaced, and ended together.

The listener is opened once and handed to each worker, so a connection that nobody has accepted is
lost with no worker. A worker that ends is replaced. So is one whose event loop says nothing for too
long: stopped, or stuck in a call that does not end. What one loses is what it was answering.
"""

import logging
import multiprocessing
import os
import signal
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from types import FrameType
from typing import Final, TypeAlias

from service.server.pulse import Stethoscope

_log = logging.getLogger(__name__)

_LOOK_S: Final = 0.1
# Whoever ends is replaced at once; who ends again soon after that waits ever longer.
_FIRST_PAUSE_S: Final = 0.5
_LONGEST_PAUSE_S: Final = 30.0
_HEALTHY_S: Final = 60.0

Work: TypeAlias = Callable[[int, Sequence[socket.socket], Connection], None]
"""What a worker does: its place, the listeners, and where it sends its pulse. Ends by SIGTERM.

It is called in a process that was started anew, so it must be a function of a module.
"""
OnEnd: TypeAlias = Callable[[int], None]
"""Told the process id of a worker that is gone."""


@dataclass(slots=True)
class _Worker:
    """Who has a place now."""

    process: SpawnProcess
    pulse: Stethoscope
    began: float
    heard: float | None = None
    """When its pulse was last felt; None while it starts."""


@dataclass(slots=True)
class _Place:
    """One of the places for workers."""

    number: int
    worker: _Worker | None = None
    start_at: float = 0.0
    pause_s: float = 0.0


class Supervisor:
    """Runs workers until it is told to end.

    Args:
        work: what each of them does.
        count: how many.
        listeners: opened already; handed to all.
        silence_s: a worker that serves, and whose event loop is silent for so long, is killed.
        grace_s: how long workers have to end after SIGTERM; then they are killed.
        on_end: told of each worker that is gone.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        work: Work,
        count: int,
        listeners: Sequence[socket.socket],
        *,
        silence_s: float,
        grace_s: float,
        on_end: OnEnd = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._work = work
        self._listeners = listeners
        self._silence_s = silence_s
        self._grace_s = grace_s
        self._on_end = on_end
        self._clock = clock
        # A process that is started anew shares nothing with us: no threads, no locks, no state of
        # OpenMP, which does not survive a fork.
        self._context = multiprocessing.get_context("spawn")
        self._places = [_Place(number) for number in range(count)]
        self._signals: list[signal.Signals] = []
        self._ends_at: float | None = None
        self._has_served = False
        self.exit_code = 0

    def run(self) -> int:
        """Keep the places filled; what the process should end with when all have left.

        0 after a signal. Where no worker ever got as far as serving, what the first one ended
        with: it has said why.
        """
        kept = {each: signal.signal(each, self.stop) for each in (signal.SIGTERM, signal.SIGINT)}
        looked = self._clock()
        try:
            while self._ends_at is None or self._workers():
                now = self._clock()
                self._look(now, was_away=now - looked > self._silence_s / 2)
                looked = now
                wait([each.process.sentinel for each in self._workers()], timeout=_LOOK_S)
        finally:
            for number, handler in kept.items():
                signal.signal(number, handler)
        return self.exit_code

    def stop(self, number: int, frame: FrameType | None = None) -> None:
        """Pass a signal on to all workers, and end when they have; a signal handler itself."""
        self._signals.append(signal.Signals(number))

    def _workers(self) -> list[_Worker]:
        return [place.worker for place in self._places if place.worker is not None]

    def _look(self, now: float, *, was_away: bool) -> None:
        while self._signals:
            self._end(self._signals.pop(0), now)
        for place in self._places:
            worker = place.worker
            if worker is None:
                if self._ends_at is None and now >= place.start_at:
                    self._start(place, now)
                continue
            # First of all: one that is gone may have served since the last look.
            self._listen(place, worker, now)
            if worker.process.exitcode is None:
                self._kill_silent(place, worker, now, was_away=was_away)
            if worker.process.exitcode is not None:
                self._ended(place, worker, now)
        if self._ends_at is not None and now >= self._ends_at:
            for worker in self._workers():
                _log.error("process %s did not end in time: killed", worker.process.pid)
                worker.process.kill()

    def _start(self, place: _Place, now: float) -> None:
        ours, theirs = self._context.Pipe(duplex=False)
        process = self._context.Process(
            target=self._work,
            args=(place.number, self._listeners, theirs),
            name=f"magpie-worker-{place.number}",
        )
        process.start()
        # So that ours is the only other end: a worker notices that we are gone.
        theirs.close()
        place.worker = _Worker(process, Stethoscope(ours), now)

    def _listen(self, place: _Place, worker: _Worker, now: float) -> None:
        if worker.pulse.has_beaten():
            if worker.heard is None:
                _log.info("worker %d serves as process %s", place.number, worker.process.pid)
            worker.heard, self._has_served = now, True

    def _kill_silent(self, place: _Place, worker: _Worker, now: float, *, was_away: bool) -> None:
        if worker.heard is None or worker.pulse.has_left or self._ends_at is not None:
            return
        if was_away:
            # We were stopped ourselves, or got no processor time: so may they have been.
            worker.heard = now
        silent_s = now - worker.heard
        if silent_s > self._silence_s:
            _log.error(
                "worker %d, process %s, was silent for %.1f s: killed",
                place.number,
                worker.process.pid,
                silent_s,
            )
            worker.process.kill()
            worker.process.join()

    def _ended(self, place: _Place, worker: _Worker, now: float) -> None:
        exit_code, pid = worker.process.exitcode or 0, worker.process.pid
        worker.pulse.close()
        worker.process.close()
        place.worker = None
        if pid is not None:
            self._on_end(pid)
        if self._ends_at is not None:
            return
        if not self._has_served:
            # It would be the same for every other one.
            self.exit_code = exit_code or 1
            self._end(signal.SIGTERM, now)
            return
        _log.warning("worker %d ended with %d: another takes its place", place.number, exit_code)
        if now - worker.began > _HEALTHY_S:
            place.pause_s = 0.0
        place.start_at = now + place.pause_s
        place.pause_s = min(max(2 * place.pause_s, _FIRST_PAUSE_S), _LONGEST_PAUSE_S)

    def _end(self, number: signal.Signals, now: float) -> None:
        """Pass a signal on, and start nobody any more."""
        if self._ends_at is None:
            self._ends_at = now + self._grace_s
            # Theirs stay open as long as they serve; with ours open, connections would wait for
            # somebody to accept them after all have left.
            for listener in self._listeners:
                listener.close()
        for process in (worker.process for worker in self._workers()):
            if process.pid is not None and process.is_alive():
                os.kill(process.pid, number)
