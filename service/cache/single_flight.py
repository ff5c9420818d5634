"""One computation per key at a time: one caller leads, the others wait for its value."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Generic, TypeAlias, TypeVar

Value = TypeVar("Value")


class _Shared(Generic[Value]):
    """A value in a box, so that a computed None is not taken for the lead."""

    __slots__ = ("value",)

    def __init__(self, value: Value) -> None:
        self.value = value


_Turn: TypeAlias = asyncio.Future[_Shared[Value] | None]


class SingleFlight(Generic[Value]):
    """Lets concurrent callers of one key share one computation. Event loop only.

    Only success is shared. A leader that fails gets its error for itself; one that is cancelled
    just goes. In both cases exactly one of those who wait becomes the next leader.
    """

    def __init__(self) -> None:
        # Mostly nobody waits: there is no queue until somebody does.
        self._waiting: dict[bytes, deque[_Turn[Value]] | None] = {}

    @property
    def keys_in_flight(self) -> int:
        """How many keys are being computed now."""
        return len(self._waiting)

    def __contains__(self, key: bytes) -> bool:
        return key in self._waiting

    async def run(self, key: bytes, compute: Callable[[], Awaitable[Value]]) -> Value:
        """Return the value of `compute()`, ours or that of the caller who leads now.

        Raises:
            Exception: whatever `compute` raised, if it was our own.
        """
        if key in self._waiting:
            shared = await self._follow(key)
            if shared is not None:
                return shared.value
        else:
            self._waiting[key] = None
        try:
            value = await compute()
        except BaseException:
            self._hand_over(key)
            raise
        for turn in self._waiting.pop(key) or ():
            if not turn.done():
                turn.set_result(_Shared(value))
        return value

    async def _follow(self, key: bytes) -> _Shared[Value] | None:
        """Wait for the value, or for None, which means that the lead is ours."""
        turn: _Turn[Value] = asyncio.get_running_loop().create_future()
        queue = self._waiting[key]
        if queue is None:
            queue = self._waiting[key] = deque()
        queue.append(turn)
        try:
            return await turn
        except BaseException:
            # Cancelled in the very moment in which the lead came to us: pass it on.
            if turn.done() and not turn.cancelled() and turn.result() is None:
                self._hand_over(key)
            raise

    def _hand_over(self, key: bytes) -> None:
        waiting = self._waiting[key]
        while waiting:
            turn = waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        del self._waiting[key]
