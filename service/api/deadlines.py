"""Blocks of code that end when their time is up, at the price of a place in a set.

A timer for each block, as `asyncio.timeout` sets it, costs as much as reading and checking a
request. Thousands of blocks begin in a second, and nearly all end long before their time: one look
at those that are open, every few milliseconds, does the same.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Final, Protocol

LOOK_EVERY_S: Final = 0.005
"""How late a block may be ended at most, on a loop that keeps its times."""


class Block(Protocol):
    """Something that is under way and has to be seen to at `due_at`, on the clock of `Deadlines`.

    It may put that off.
    """

    due_at: float

    def come_due(self) -> None:
        """Called once its time is up, and again with each look until it is discarded."""


class Deadlines:
    """The blocks that are open now. Belongs to one event loop.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._open: set[Block] = set()
        self._is_looking = False

    def __len__(self) -> int:
        return len(self._open)

    def add(self, block: Block) -> None:
        """See to it that a block ends in time, from now until it is discarded."""
        self._open.add(block)
        if not self._is_looking:
            self._look_later()

    def discard(self, block: Block) -> None:
        """Forget a block, which is over."""
        self._open.discard(block)

    def _look_later(self) -> None:
        self._is_looking = True
        asyncio.get_running_loop().call_later(LOOK_EVERY_S, self._look)

    def _look(self) -> None:
        now = self._clock()
        for block in [each for each in self._open if each.due_at <= now]:
            block.come_due()
        if self._open:
            self._look_later()
        else:
            self._is_looking = False
