import asyncio
import random
from collections.abc import Awaitable, Callable

import pytest

from service.cache.single_flight import SingleFlight

KEY = b"k"


class Work:
    """A computation that waits for permission, counts its calls and fails as often as told."""

    def __init__(self, failures: int = 0) -> None:
        self.calls = 0
        self.running = 0
        self.most_running = 0
        self.gate = asyncio.Event()
        self._failures = failures

    async def __call__(self) -> bytes:
        self.calls += 1
        call = self.calls
        self.running += 1
        self.most_running = max(self.running, self.most_running)
        try:
            await self.gate.wait()
        finally:
            self.running -= 1
        if call <= self._failures:
            raise ArithmeticError(call)
        return b"value %d" % call


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def start(
    flights: SingleFlight[bytes], work: Callable[[], Awaitable[bytes]], callers: int
) -> list[asyncio.Task[bytes]]:
    return [asyncio.create_task(flights.run(KEY, work)) for _ in range(callers)]


async def test_thousand_callers_of_one_key_share_one_computation() -> None:
    flights, work = SingleFlight[bytes](), Work()
    tasks = start(flights, work, 1000)
    await settle()
    work.gate.set()
    assert set(await asyncio.gather(*tasks)) == {b"value 1"}
    assert (work.calls, flights.keys_in_flight) == (1, 0)


async def test_callers_of_different_keys_do_not_wait_for_each_other() -> None:
    flights, slow, fast = SingleFlight[bytes](), Work(), Work()
    waiting = asyncio.create_task(flights.run(b"slow", slow))
    await settle()
    fast.gate.set()
    assert await flights.run(b"fast", fast) == b"value 1"
    slow.gate.set()
    await waiting


async def test_failing_leader_fails_alone() -> None:
    flights, work = SingleFlight[bytes](), Work(failures=3)
    tasks = start(flights, work, 50)
    await settle()
    work.gate.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(result) for result in results[:3]] == [ArithmeticError] * 3
    assert set(results[3:]) == {b"value 4"}
    assert (work.calls, work.most_running, flights.keys_in_flight) == (4, 1, 0)


async def test_every_caller_of_a_hopeless_key_gets_its_own_failure() -> None:
    flights, work = SingleFlight[bytes](), Work(failures=20)
    tasks = start(flights, work, 20)
    await settle()
    work.gate.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert len({str(result) for result in results}) == 20
    assert flights.keys_in_flight == 0


async def test_cancelled_leader_hands_over_to_one_follower() -> None:
    flights, work = SingleFlight[bytes](), Work()
    leader, *followers = start(flights, work, 10)
    await settle()
    leader.cancel()
    await settle()
    assert (work.calls, work.running) == (2, 1)
    work.gate.set()
    assert set(await asyncio.wait_for(asyncio.gather(*followers), 5)) == {b"value 2"}
    assert leader.cancelled()


async def test_lead_is_passed_on_by_a_follower_cancelled_as_it_gets_it() -> None:
    flights, work = SingleFlight[bytes](), Work()
    leader, first, second, third = start(flights, work, 4)
    await settle()
    leader.cancel()
    await asyncio.sleep(0)  # The leader has handed over; the follower has not run yet.
    first.cancel()
    second.cancel()
    await settle()
    work.gate.set()
    assert await asyncio.wait_for(third, 5) == b"value 2"
    assert first.cancelled()
    assert second.cancelled()
    assert flights.keys_in_flight == 0


async def test_cancelled_follower_disturbs_nobody() -> None:
    flights, work = SingleFlight[bytes](), Work()
    leader, follower, other = start(flights, work, 3)
    await settle()
    follower.cancel()
    await settle()
    work.gate.set()
    assert await leader == await other == b"value 1"
    assert work.calls == 1


async def test_all_cancelled_leaves_nothing_behind() -> None:
    flights, work = SingleFlight[bytes](), Work()
    tasks = start(flights, work, 20)
    await settle()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert (flights.keys_in_flight, work.running) == (0, 0)


async def test_computed_none_is_shared_like_any_value() -> None:
    flights: SingleFlight[None] = SingleFlight()
    calls = 0

    async def nothing() -> None:
        nonlocal calls
        calls += 1
        await asyncio.sleep(0)

    await asyncio.gather(*(flights.run(KEY, nothing) for _ in range(5)))
    assert calls == 1


@pytest.mark.parametrize("seed", range(20))
async def test_random_cancels_never_strand_a_caller(seed: int) -> None:
    chance = random.Random(seed)
    flights = SingleFlight[bytes]()

    async def work() -> bytes:
        for _ in range(chance.randrange(4)):
            await asyncio.sleep(0)
        if chance.random() < 0.3:
            raise ArithmeticError
        return b"value"

    tasks = start(flights, work, 30)
    for _ in range(20):
        await asyncio.sleep(0)
        chance.choice(tasks).cancel()
    results = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 5)
    assert all(
        result == b"value" or isinstance(result, ArithmeticError | asyncio.CancelledError)
        for result in results
    )
    assert flights.keys_in_flight == 0
