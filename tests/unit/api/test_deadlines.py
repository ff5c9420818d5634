"""Blocks that end when their time is up, and the callers that are such blocks."""

import asyncio
import time

import pytest
from starlette.types import Message

from service.api.caller import Caller
from service.api.deadlines import LOOK_EVERY_S, Deadlines
from service.api.errors import RequestRefused
from service.errors import DeadlineExceeded


async def test_a_block_ends_when_its_time_is_up() -> None:
    deadlines = Deadlines()
    started = time.monotonic()
    with pytest.raises(DeadlineExceeded), Caller.nobody(0.02, deadlines):
        await asyncio.sleep(10)
    assert 0.02 <= time.monotonic() - started < 5
    assert len(deadlines) == 0


async def test_a_block_whose_time_was_up_before_still_gets_to_its_queue() -> None:
    deadlines, turns = Deadlines(), []

    async def work() -> None:
        with Caller.nobody(-1.0, deadlines):
            for turn in range(3):
                await asyncio.sleep(0)
                turns.append(turn)
            await asyncio.sleep(10)

    with pytest.raises(DeadlineExceeded):
        await work()
    assert turns == [0, 1, 2]


async def test_each_block_ends_at_its_own_time() -> None:
    deadlines = Deadlines()
    ended: list[float] = []

    async def wait(seconds: float) -> None:
        with pytest.raises(DeadlineExceeded), Caller.nobody(seconds, deadlines):
            await asyncio.sleep(10)
        ended.append(seconds)

    await asyncio.gather(*(wait(seconds) for seconds in (0.12, 0.01, 0.06)))
    assert ended == [0.01, 0.06, 0.12]


async def test_a_block_that_is_over_in_time_is_not_disturbed_afterwards() -> None:
    deadlines = Deadlines()
    with Caller.nobody(0.01, deadlines):
        await asyncio.sleep(0)
    assert len(deadlines) == 0
    await asyncio.sleep(0.01 + 4 * LOOK_EVERY_S)


async def test_a_client_is_listened_to_only_when_the_wait_gets_long() -> None:
    listened: list[float] = []
    started = time.monotonic()

    async def receive() -> Message:
        listened.append(time.monotonic() - started)
        return {"type": "http.disconnect"}

    async def wait(seconds: float) -> None:
        with Caller("", started + 10, Deadlines(), receive) as caller:
            caller.watch()
            await asyncio.sleep(seconds)

    await wait(0.01)
    assert listened == []
    with pytest.raises(RequestRefused):
        await wait(10)
    assert 0.05 <= listened[0] < 5


async def test_nothing_is_looked_at_while_no_block_is_open() -> None:
    looks = 0

    def clock() -> float:
        nonlocal looks
        looks += 1
        return time.monotonic()

    deadlines = Deadlines(clock)
    with Caller.nobody(10, deadlines):
        await asyncio.sleep(3 * LOOK_EVERY_S)
    await asyncio.sleep(2 * LOOK_EVERY_S)
    before = looks
    assert before >= 1
    await asyncio.sleep(4 * LOOK_EVERY_S)
    assert looks == before


async def test_a_task_that_somebody_else_cancels_too_goes_on_being_cancelled() -> None:
    deadlines = Deadlines()

    async def wait() -> None:
        with Caller.nobody(0.01, deadlines) as caller:
            time.sleep(0.02)  # noqa: ASYNC251 - its time is up before the loop can tell it so
            caller.come_due()
            await asyncio.sleep(10)

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(deadlines) == 0


async def test_an_error_inside_a_block_stays_what_it_is() -> None:
    deadlines = Deadlines()
    with pytest.raises(TimeoutError), Caller.nobody(10, deadlines):
        raise TimeoutError
    assert len(deadlines) == 0
