"""Short work runs where it is asked for, long work on a thread: by what its kind took lately."""

import asyncio
import os
import sys
import threading
import weakref
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import TypeAlias

import pytest

from service.api.compute import SHORT_S, ComputePool
from service.errors import DeadlineExceeded, Overloaded

Take: TypeAlias = Callable[[float], str]


@pytest.fixture
def now() -> list[float]:
    return [0.0]


@pytest.fixture
async def pool(now: list[float]) -> AsyncIterator[ComputePool]:
    pool = ComputePool(threads=1, queue=1, clock=lambda: now[0])
    yield pool
    pool.close()


@pytest.fixture
def take(now: list[float]) -> Callable[[float], str]:
    def take(seconds: float) -> str:
        now[0] += seconds
        return threading.current_thread().name

    return take


async def test_work_of_an_unknown_kind_runs_on_a_thread(pool: ComputePool, take: Take) -> None:
    assert await pool.run_by_cost("new", lambda: take(0.0)) != threading.current_thread().name


async def test_work_of_a_short_kind_runs_here_once_that_is_known(
    pool: ComputePool, take: Take
) -> None:
    await pool.run_by_cost("short", lambda: take(0.0))
    assert pool.is_short("short")
    assert await pool.run_by_cost("short", lambda: take(0.0)) == threading.current_thread().name


async def test_work_of_a_long_kind_stays_on_threads(pool: ComputePool, take: Take) -> None:
    for _ in range(3):
        name = await pool.run_by_cost("long", lambda: take(2 * SHORT_S))
        assert name != threading.current_thread().name
    assert not pool.is_short("long")


async def test_a_kind_that_grows_long_leaves_the_loop(pool: ComputePool, take: Take) -> None:
    await pool.run_by_cost("grows", lambda: take(0.8 * SHORT_S))
    names = [await pool.run_by_cost("grows", lambda: take(2 * SHORT_S)) for _ in range(30)]
    assert names[-1] != threading.current_thread().name


async def test_short_work_is_not_refused_where_threads_are_full(
    pool: ComputePool, take: Take
) -> None:
    await pool.run_by_cost("short", lambda: take(0.0))
    pool.pending = 2
    assert await pool.run_by_cost("short", lambda: 7) == 7
    with pytest.raises(Overloaded):
        await pool.run_by_cost("other", lambda: 7)
    pool.pending = 0


async def test_work_whose_turn_comes_after_its_deadline_is_never_begun(
    pool: ComputePool, take: Take, now: list[float]
) -> None:
    begun: list[str] = []
    release = threading.Event()
    first = asyncio.create_task(pool.run(release.wait))
    await asyncio.sleep(0)
    late = asyncio.create_task(pool.run(lambda: begun.append("late"), deadline=1.0))
    await asyncio.sleep(0)
    now[0] = 1.0
    release.set()
    await first
    with pytest.raises(DeadlineExceeded):
        await late
    assert begun == []


async def test_work_that_nobody_waits_for_any_more_is_never_begun(pool: ComputePool) -> None:
    begun: list[str] = []
    release = threading.Event()
    first = pool.start(release.wait)
    left = pool.start(lambda: begun.append("left"))
    left.cancel()
    assert pool.pending == 2
    release.set()
    assert await first
    assert await pool.run(lambda: 7) == 7
    assert (begun, pool.pending) == ([], 0)


async def test_closing_waits_for_what_runs_and_drops_what_does_not(pool: ComputePool) -> None:
    begun: list[str] = []
    entered, release = threading.Event(), threading.Event()

    def hold() -> bool:
        entered.set()
        return release.wait(10)

    first = pool.start(hold)
    second = pool.start(lambda: begun.append("second"))
    assert await asyncio.to_thread(entered.wait, 10)
    threading.Timer(0.05, release.set).start()
    pool.close()
    assert await first
    with pytest.raises(asyncio.CancelledError):
        await second
    assert begun == []
    with pytest.raises(Overloaded):
        pool.start(lambda: None)


async def test_what_was_worked_on_is_let_go_before_there_is_more_to_do(pool: ComputePool) -> None:
    class Version:
        """What work may hold, and must not hold for longer than it takes."""

    version = Version()
    held = weakref.ref(version)
    await pool.run(partial(str, version))
    del version
    # The thread may be on its way back to the queue still.
    async with asyncio.timeout(10):
        while held() is not None:  # noqa: ASYNC110
            await asyncio.sleep(0.001)


async def test_whoever_waits_for_a_thread_is_told_when_one_is_free(pool: ComputePool) -> None:
    told: list[int] = []
    pool.on_finish = lambda: told.append(pool.pending)
    await pool.run(lambda: None)
    await asyncio.sleep(0)
    assert told == [0]


@pytest.mark.skipif(sys.platform != "linux", reason="threads have no niceness of their own")
async def test_nice_threads_stand_back_and_this_one_does_not() -> None:
    pool = ComputePool(threads=1, queue=1, niceness=3)
    own = os.getpriority(os.PRIO_PROCESS, 0)
    assert await pool.run(lambda: os.getpriority(os.PRIO_PROCESS, 0)) == own + 3
    assert os.getpriority(os.PRIO_PROCESS, 0) == own
    pool.close()


async def test_an_error_of_the_work_is_the_callers(pool: ComputePool, take: Take) -> None:
    await pool.run_by_cost("short", lambda: take(0.0))
    for kind in ("short", "other"):
        with pytest.raises(ZeroDivisionError):
            await pool.run_by_cost(kind, lambda: 1 // 0)
