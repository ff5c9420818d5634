"""Short work runs where it is asked for, long work on a thread: by what its kind took lately."""

import threading
import time
from collections.abc import AsyncIterator

import pytest

from service.api.compute import SHORT_S, ComputePool
from service.errors import Overloaded


@pytest.fixture
async def pool() -> AsyncIterator[ComputePool]:
    pool = ComputePool(threads=1, queue=1)
    yield pool
    pool.close()


def spin(seconds: float) -> str:
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass
    return threading.current_thread().name


async def test_work_of_an_unknown_kind_runs_on_a_thread(pool: ComputePool) -> None:
    assert await pool.run_by_cost("new", lambda: spin(0.0)) != threading.current_thread().name


async def test_work_of_a_short_kind_runs_here_once_that_is_known(pool: ComputePool) -> None:
    await pool.run_by_cost("short", lambda: spin(0.0))
    assert pool.is_short("short")
    assert await pool.run_by_cost("short", lambda: spin(0.0)) == threading.current_thread().name


async def test_work_of_a_long_kind_stays_on_threads(pool: ComputePool) -> None:
    for _ in range(3):
        name = await pool.run_by_cost("long", lambda: spin(2 * SHORT_S))
        assert name != threading.current_thread().name
    assert not pool.is_short("long")


async def test_a_kind_that_grows_long_leaves_the_loop(pool: ComputePool) -> None:
    await pool.run_by_cost("grows", lambda: spin(0.8 * SHORT_S))
    names = [await pool.run_by_cost("grows", lambda: spin(2 * SHORT_S)) for _ in range(30)]
    assert names[-1] != threading.current_thread().name


async def test_short_work_is_not_refused_where_threads_are_full(pool: ComputePool) -> None:
    await pool.run_by_cost("short", lambda: spin(0.0))
    pool.pending = 2
    assert await pool.run_by_cost("short", lambda: 7) == 7
    with pytest.raises(Overloaded):
        await pool.run_by_cost("other", lambda: 7)
    pool.pending = 0


async def test_an_error_of_the_work_is_the_callers(pool: ComputePool) -> None:
    await pool.run_by_cost("short", lambda: spin(0.0))
    for kind in ("short", "other"):
        with pytest.raises(ZeroDivisionError):
            await pool.run_by_cost(kind, lambda: 1 // 0)
