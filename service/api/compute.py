"""A bounded pool for work that would block the event loop: a full queue is an answer."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from service.errors import Overloaded

_T = TypeVar("_T")


class ComputePool:
    """Runs blocking calls on a few threads and refuses more than `queue` waiting ones.

    Belongs to one event loop.
    """

    def __init__(self, threads: int, queue: int) -> None:
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="magpie-compute")
        self._limit = threads + queue
        self.pending = 0
        """Calls running or waiting."""

    async def run(self, work: Callable[[], _T]) -> _T:
        """Run `work` on a pool thread.

        Raises:
            Overloaded: as many calls as allowed are waiting already.
        """
        if self.pending >= self._limit:
            raise Overloaded("The service is at its limit.", "Try again after a moment.")
        self.pending += 1
        future = asyncio.get_running_loop().run_in_executor(self._executor, work)
        # The thread is busy until the work ends, also when the caller has left.
        future.add_done_callback(self._finished)
        return await future

    def close(self) -> None:
        """Stop accepting work, drop what has not begun, and wait for what runs."""
        self._executor.shutdown(wait=True, cancel_futures=True)

    def _finished(self, _: object) -> None:
        self.pending -= 1
