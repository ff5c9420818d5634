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
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from service.cache.typical_costs import TypicalCosts
from service.errors import DeadlineExceeded, Overloaded

_T = TypeVar("_T")

SHORT_S: Final = 0.001
"""What typically takes no longer may hold up the event loop."""


class ComputePool:
    """Runs blocking calls on a few threads and refuses more than `queue` waiting ones.

    Belongs to one event loop.

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
        self._executor = ThreadPoolExecutor(
            threads, "magpie-compute", initializer=_be_nice, initargs=(niceness,)
        )
        self._limit = threads + queue
        self._costs = TypicalCosts()
        self.threads = threads
        self.pending = 0
        """Calls running or waiting."""
        self.on_finish: Callable[[], None] = lambda: None
        """Called when a call has ended, and there may be room for another."""

    async def run(self, work: Callable[[], _T], deadline: float = float("inf")) -> _T:
        """Run `work` on a pool thread.

        Args:
            work: must not need the event loop.
            deadline: on the pool's clock; work whose turn comes later is dropped.

        Raises:
            Overloaded: as many calls as allowed are waiting already.
            DeadlineExceeded: the deadline passed before its turn.
        """

        def work_in_time() -> _T:
            if self._clock() >= deadline:
                raise DeadlineExceeded("The time for this request was up before its turn came.")
            return work()

        if self.pending >= self._limit:
            raise Overloaded("The service is at its limit.", "Try again after a moment.")
        self.pending += 1
        future = asyncio.get_running_loop().run_in_executor(self._executor, work_in_time)
        # The thread is busy until the work ends, also when the caller has left.
        future.add_done_callback(self._finished)
        return await future

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
        self._executor.shutdown(wait=True, cancel_futures=True)

    def _finished(self, _: object) -> None:
        self.pending -= 1
        self.on_finish()


def _be_nice(niceness: int) -> None:
    # On Linux each thread has a niceness of its own.
    if niceness and sys.platform == "linux":
        thread = threading.get_native_id()
        now = os.getpriority(os.PRIO_PROCESS, thread)
        os.setpriority(os.PRIO_PROCESS, thread, min(now + niceness, 19))
