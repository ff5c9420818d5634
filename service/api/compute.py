"""Where blocking work runs: on a bounded pool, whose full queue is an answer, or right here.

A hand-over to a thread costs a tenth of a millisecond or two, of processor time and of waiting,
which many a search does not take. So short work runs on the event loop itself.
"""

import asyncio
import os
import sys
import threading
import time
from collections.abc import Callable, Hashable
from functools import partial
from queue import SimpleQueue
from typing import Final, TypeVar

from service.cache.typical_costs import TypicalCosts
from service.errors import DeadlineExceeded, Overloaded

_T = TypeVar("_T")

SHORT_S: Final = 0.001
"""What typically takes no longer may hold up the event loop."""


class ComputePool:
    """Runs blocking calls on a few threads and refuses more than `queue` waiting ones.

    Belongs to one event loop. The threads take work from a queue and call the loop back, no more:
    an executor and the futures of two worlds that go with it take 1.7 times as long for a call.

    Args:
        threads: calls that run at once.
        queue: calls that may wait.
        niceness: how far the threads stand back for the others of the process, 0 to 19.
        clock: seconds, the clock of the deadlines.
    """

    def __init__(
        self,
        threads: int,
        queue: int,
        *,
        niceness: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._niceness = niceness
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._crew: list[threading.Thread] = []
        self._limit = threads + queue
        self._is_closed = False
        self._costs = TypicalCosts()
        self.threads = threads
        self.pending = 0
        """Calls running or waiting."""
        self.on_finish: Callable[[], None] = lambda: None
        """Called when a call has ended, and there may be room for another."""

    def start(self, work: Callable[[], _T], deadline: float = float("inf")) -> "asyncio.Future[_T]":
        """Give `work` to the pool threads; the future gets its outcome.

        Work whose future is cancelled before its turn is dropped.

        Args:
            work: must not need the event loop.
            deadline: on the pool's clock; work whose turn comes later is dropped.

        Returns:
            A future. It raises DeadlineExceeded if the deadline passed before its turn, and
            whatever `work` raises.

        Raises:
            Overloaded: as many calls as allowed are waiting already.
        """
        if self.pending >= self._limit:
            raise Overloaded("The service is at its limit.", "Try again after a moment.")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[_T] = loop.create_future()

        def job() -> None:
            loop.call_soon_threadsafe(self._finish, future, self._outcome(future, work, deadline))

        self.pending += 1
        while len(self._crew) < self.threads:
            # A daemon, so that a service which fails to start can end.
            thread = threading.Thread(target=self._serve, name="magpie-compute", daemon=True)
            thread.start()
            self._crew.append(thread)
        self._jobs.put(job)
        return future

    async def run(self, work: Callable[[], _T], deadline: float = float("inf")) -> _T:
        """Run `work` on a pool thread; arguments and errors as for `start`."""
        return await self.start(work, deadline)

    def is_short(self, kind: Hashable) -> bool:
        """Whether work of a kind typically takes less than a hand-over is worth."""
        cost_s = self._costs.of(kind)
        return cost_s is not None and cost_s <= SHORT_S

    def run_here(self, kind: Hashable, work: Callable[[], _T]) -> _T:
        """Run work of a short kind right here, and note what it takes."""
        # By the clock: to ask for the processor time of a thread takes a system call, and where
        # those are slow that costs more than the work.
        started = self._clock()
        result = work()
        self._costs.note(kind, self._clock() - started)
        return result

    async def run_by_cost(
        self, kind: Hashable, work: Callable[[], _T], deadline: float = float("inf")
    ) -> _T:
        """Run `work` right here if its kind is short, else on a pool thread.

        Args:
            kind: work of one kind takes about as long; what it takes is measured.
            work, deadline: as for `run`.

        Raises:
            Overloaded, DeadlineExceeded: as `run`, for work that is not short.
        """
        if self.is_short(kind):
            return self.run_here(kind, work)

        def timed() -> tuple[_T, float]:
            started = self._clock()
            return work(), self._clock() - started

        result, cost_s = await self.run(timed, deadline)
        self._costs.note(kind, cost_s)
        return result

    def close(self) -> None:
        """Stop accepting work, drop what has not begun, and wait for what runs."""
        self._is_closed, self._limit = True, 0
        for _ in self._crew:
            self._jobs.put(None)
        for thread in self._crew:
            thread.join()

    def _serve(self) -> None:
        """What a thread does all its life."""
        _be_nice(self._niceness)
        # Called at once: a name would keep what the work held, until there is more to do.
        while self._has_served(self._jobs.get()):
            pass

    def _has_served(self, job: Callable[[], None] | None) -> bool:
        if job is None:
            return False
        job()
        return True

    def _outcome(
        self, future: "asyncio.Future[_T]", work: Callable[[], _T], deadline: float
    ) -> Callable[[], object]:
        """Do the work if it is wanted still; returns what tells the future, on its loop."""
        # To look is safe from here; only the loop changes it.
        if future.done() or self._is_closed:
            return future.cancel
        if self._clock() >= deadline:
            late = DeadlineExceeded("The time for this request was up before its turn came.")
            return partial(future.set_exception, late)
        try:
            return partial(future.set_result, work())
        except BaseException as error:
            # The edge of the thread: it is raised where the outcome is awaited.
            return partial(future.set_exception, error)

    def _finish(self, future: "asyncio.Future[_T]", tell: Callable[[], object]) -> None:
        # The thread is busy until the work ends, also when the caller has left.
        self.pending -= 1
        self.on_finish()
        if not future.done():
            tell()


def _be_nice(niceness: int) -> None:
    # On Linux each thread has a niceness of its own.
    if niceness and sys.platform == "linux":
        thread = threading.get_native_id()
        now = os.getpriority(os.PRIO_PROCESS, thread)
        os.setpriority(os.PRIO_PROCESS, thread, min(now + niceness, 19))
