"""Who may be computed for now, who waits, and who is told at once to come back later.

Under load an event loop takes in whatever has arrived before it answers any of it: everybody waits,
and nobody can be refused quickly. The gate lets a few requests through in each turn of the loop.
The others wait in a queue whose speed is known, so that a request which would wait too long is
refused when it arrives, for a small part of what its answer would cost.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from service.api.compute import ComputePool
from service.errors import DeadlineExceeded, Overloaded

# Turns stay at a few milliseconds, which is how long a refusal waits to be said.
_TURN_S: Final = 0.004
_COST_PER_TURN: Final = 4.0
# Enough to keep the threads busy while the loop takes a turn.
_AHEAD_OF_THREADS: Final = 4
# Before anything was measured.
_FIRST_GUESS_S: Final = 0.001
_SMOOTHING: Final = 0.1


@dataclass(slots=True, eq=False)
class _Waiting:
    turn: asyncio.Future[None]
    cost: float
    arrived: float
    deadline: float


class Gate:
    """A queue in front of the computing of answers. Belongs to one event loop.

    Costs are counted in answers: a batch of ten costs ten.

    Args:
        compute: the threads that the long work ends up on; they are kept busy, not flooded.
        wait_s: the longest wait that a request may have ahead of it.
        on_wait: told how long each request that had to wait did so, in seconds.
        clock: seconds, the clock of the deadlines.
    """

    def __init__(
        self,
        compute: ComputePool,
        *,
        wait_s: float,
        on_wait: Callable[[float], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._compute = compute
        self._wait_s = wait_s
        self._on_wait = on_wait
        self._clock = clock
        self._queue: deque[_Waiting] = deque()
        # Read in this turn of the loop, and not looked at yet.
        self._announced = 0
        self._cost_waiting = 0.0
        self._cost_this_turn = 0.0
        self._is_turn_due = False
        self._turn_began = 0.0
        self._busy_since: float | None = None
        self._cost_since = 0.0
        self._unit_s = _FIRST_GUESS_S
        compute.on_finish = self._look

    @property
    def waiting(self) -> int:
        """Requests in the queue."""
        return len(self._queue)

    @property
    def is_pressed(self) -> bool:
        """Whether there is more to do than in one turn of the loop."""
        return bool(self._queue) or self._announced > _COST_PER_TURN

    @property
    def is_full(self) -> bool:
        """Whether a request that arrives now is refused, if it is like most others."""
        ahead = self._cost_waiting + self._announced + 1
        return self.is_pressed and ahead * self._unit_s > self._wait_s

    def announce(self) -> None:
        """Tell of a request that was read and will come here when the application runs.

        In one turn of the loop many may be read before the first of them is looked at.
        """
        self._announced += 1
        self._look()

    def admit(
        self,
        cost: float = 1.0,
        deadline: float = float("inf"),
        *,
        is_paid: bool = False,
    ) -> asyncio.Future[None] | None:
        """Ask to be let through.

        Args:
            cost: how many answers have to be computed.
            deadline: on the gate's clock; from then on nobody waits for the outcome.
            is_paid: the dearest part is done, and would be lost: such a request never waits.

        Returns:
            None: go on at once. Else a future: go on when it is done. It raises DeadlineExceeded
            if the deadline passes first.

        Raises:
            Overloaded: the turn of this request would come too late.
        """
        if is_paid or (not self._queue and self._has_room()):
            self._spend(cost)
            return None
        now = self._clock()
        expected_s = (self._cost_waiting + cost) * self._unit_s
        # Whoever finds nobody waiting is never refused, however much it costs.
        if self._queue and expected_s > min(self._wait_s, deadline - now):
            raise Overloaded("The service is at its limit.", "Try again after a moment.")
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append(_Waiting(turn, cost, now, deadline))
        self._cost_waiting += cost
        if self._busy_since is None:
            self._busy_since, self._cost_since = self._turn_began, self._cost_this_turn
        self._look()
        return turn

    def _has_room(self) -> bool:
        return (
            self._cost_this_turn < max(_COST_PER_TURN, _TURN_S // self._unit_s)
            and self._compute.pending < self._compute.threads + _AHEAD_OF_THREADS
        )

    def _spend(self, cost: float) -> None:
        self._cost_this_turn += cost
        self._cost_since += cost
        self._look()

    def _look(self) -> None:
        """See to it that there is another turn if anything depends on it."""
        if not self._is_turn_due and (self._queue or self._cost_this_turn or self._announced):
            self._is_turn_due, self._turn_began = True, self._clock()
            asyncio.get_running_loop().call_soon(self._take_turn)

    def _take_turn(self) -> None:
        self._is_turn_due = False
        self._cost_this_turn = 0.0
        # They run right after this, and nothing is read before.
        self._announced = 0
        if not self._queue:
            return
        now = self._clock()
        self._measure(now)
        while self._queue and self._has_room():
            waiting = self._queue.popleft()
            self._cost_waiting -= waiting.cost
            if waiting.turn.done():
                continue
            if now >= waiting.deadline:
                waiting.turn.set_exception(
                    DeadlineExceeded("The time for this request was up before its turn came.")
                )
                continue
            self._on_wait(now - waiting.arrived)
            waiting.turn.set_result(None)
            self._spend(waiting.cost)
        if not self._queue:
            self._cost_waiting = 0.0
            self._busy_since = None

    def _measure(self, now: float) -> None:
        """Learn from what got through while there was a queue how fast it moves."""
        if self._busy_since is not None and self._cost_since >= _COST_PER_TURN:
            unit_s = (now - self._busy_since) / self._cost_since
            self._unit_s += _SMOOTHING * (unit_s - self._unit_s)
            self._busy_since, self._cost_since = now, 0.0
