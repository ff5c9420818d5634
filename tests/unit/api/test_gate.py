"""The queue in front of the computing: few at a time, in order, none that would wait too long."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from service.api.compute import ComputePool
from service.api.gate import Gate
from service.errors import DeadlineExceeded, Overloaded

PER_TURN = 4
WAIT_S = 0.05
FIRST_GUESS_S = 0.001


class Clock:
    """Stands still until it is told to move."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Bench:
    """A gate, and what stands around it."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.waits: list[float] = []
        self.compute = ComputePool(threads=1, queue=64, clock=self.clock)
        self.gate = Gate(self.compute, wait_s=WAIT_S, on_wait=self.waits.append, clock=self.clock)

    def fill_turn(self) -> None:
        """Let through what one turn of the loop may let through."""
        for _ in range(PER_TURN):
            assert self.gate.admit() is None

    def wait(self, cost: float = 1.0, deadline: float = float("inf")) -> "asyncio.Future[None]":
        turn = self.gate.admit(cost, deadline)
        assert turn is not None
        return turn

    def room(self) -> int:
        """Wait as often as one may; how often that was."""
        count = 0
        try:
            while True:
                self.wait()
                count += 1
        except Overloaded:
            return count


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    bench = Bench()
    yield bench
    bench.compute.close()


async def turn() -> None:
    """One turn of the event loop."""
    await asyncio.sleep(0)


async def test_where_nobody_waits_a_request_goes_on_at_once(bench: Bench) -> None:
    assert bench.gate.admit() is None
    assert not bench.gate.is_full


async def test_what_is_too_much_for_one_turn_gets_the_next_in_order(bench: Bench) -> None:
    bench.fill_turn()
    turns = [bench.wait() for _ in range(PER_TURN + 1)]
    assert bench.gate.waiting == PER_TURN + 1
    await turn()
    assert [each.done() for each in turns] == [True] * PER_TURN + [False]
    await turn()
    assert turns[-1].done()
    assert bench.gate.waiting == 0


async def test_whoever_comes_later_does_not_overtake_those_who_wait(bench: Bench) -> None:
    bench.fill_turn()
    waiting = [bench.wait() for _ in range(PER_TURN + 1)]
    await turn()
    late = bench.wait()
    await turn()
    assert waiting[-1].done()
    assert late.done()


async def test_a_request_that_would_wait_too_long_is_refused_when_it_comes(bench: Bench) -> None:
    bench.fill_turn()
    room = round(WAIT_S / FIRST_GUESS_S)
    turns = [bench.wait() for _ in range(room)]
    assert bench.gate.is_full
    with pytest.raises(Overloaded):
        bench.gate.admit()
    assert bench.gate.waiting == room
    for _ in range(room):
        await turn()
    assert all(each.done() for each in turns)
    assert not bench.gate.is_full


async def test_a_client_with_less_time_than_the_queue_takes_is_refused_earlier(
    bench: Bench,
) -> None:
    bench.fill_turn()
    bench.wait(cost=10)
    with pytest.raises(Overloaded):
        bench.gate.admit(deadline=bench.clock() + 5 * FIRST_GUESS_S)
    assert bench.gate.admit(deadline=bench.clock() + 20 * FIRST_GUESS_S) is not None


async def test_a_batch_counts_as_the_answers_in_it(bench: Bench) -> None:
    """G20: the same rule for one request of a hundred answers as for a hundred requests."""
    bench.fill_turn()
    bench.wait()
    with pytest.raises(Overloaded):
        bench.gate.admit(cost=WAIT_S / FIRST_GUESS_S)
    assert bench.gate.admit(cost=1) is not None


async def test_however_dear_whoever_finds_nobody_waiting_is_served(bench: Bench) -> None:
    assert bench.gate.admit(cost=10_000) is None
    assert bench.gate.admit(cost=10_000) is not None


async def test_a_turn_that_comes_after_the_deadline_is_an_error_and_costs_nothing(
    bench: Bench,
) -> None:
    bench.fill_turn()
    late = bench.wait(deadline=bench.clock() + WAIT_S)
    others = [bench.wait() for _ in range(PER_TURN)]
    bench.clock.now += 2 * WAIT_S
    await turn()
    with pytest.raises(DeadlineExceeded):
        await late
    assert all(each.done() for each in others)


async def test_the_turn_of_a_caller_who_has_left_goes_to_the_next(bench: Bench) -> None:
    bench.fill_turn()
    leaver = bench.wait()
    others = [bench.wait() for _ in range(PER_TURN)]
    leaver.cancel()
    await turn()
    assert all(each.done() for each in others)


async def test_what_is_paid_for_passes_those_who_wait(bench: Bench) -> None:
    bench.fill_turn()
    bench.wait()
    assert bench.gate.admit(is_paid=True) is None


async def test_threads_are_kept_busy_and_not_flooded(bench: Bench) -> None:
    bench.compute.pending = bench.compute.threads + 4
    held = bench.wait()
    await turn()
    await turn()
    assert not held.done()
    bench.compute.pending -= 1
    bench.compute.on_finish()
    await turn()
    assert held.done()


async def test_the_wait_is_predicted_from_what_got_through_while_there_was_a_queue(
    bench: Bench,
) -> None:
    """At 10 ms an answer five who wait are all that 50 ms can hold."""
    rooms = []
    for _ in range(40):
        bench.fill_turn()
        rooms.append(bench.room())
        while bench.gate.waiting:
            bench.clock.now += PER_TURN * 0.010
            await turn()
        await turn()
    assert rooms[0] == 50
    assert rooms[-1] == 5


async def test_what_was_read_in_this_turn_counts_before_it_is_looked_at(bench: Bench) -> None:
    for _ in range(round(WAIT_S / FIRST_GUESS_S)):
        bench.gate.announce()
    assert bench.gate.is_full
    await turn()
    assert not bench.gate.is_full


async def test_waits_are_told(bench: Bench) -> None:
    bench.fill_turn()
    bench.wait()
    bench.clock.now += 0.02
    await turn()
    assert bench.waits == pytest.approx([0.02])
