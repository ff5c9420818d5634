"""Places for workers stay filled, whatever becomes of those who have them."""

import os
import signal
import threading
import time
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path

from service.server.supervisor import Supervisor
from tests.unit.server import work


class Watched:
    """A supervisor that runs here, and somebody who looks on and ends it."""

    def __init__(self, work_: Callable[..., None], folder: Path, count: int = 2) -> None:
        self.folder = folder
        self.ended: list[int] = []
        self.supervisor = Supervisor(
            partial(work_, folder),
            count,
            [],
            silence_s=0.5,
            grace_s=1.0,
            on_end=self.ended.append,
        )

    def run(self, until: Callable[[], bool]) -> tuple[int, bool]:
        """Run until something is so, then end it: the exit code, and whether it came to be so."""
        seen: list[bool] = []

        def look() -> None:
            deadline = time.monotonic() + 20
            while not until() and time.monotonic() < deadline:
                time.sleep(0.01)
            seen.append(until())
            self.supervisor.stop(signal.SIGTERM)

        onlooker = threading.Thread(target=look)
        onlooker.start()
        code = self.supervisor.run()
        onlooker.join()
        return code, seen[0]

    def pids(self, place: int) -> list[int]:
        """Who had a place so far."""
        return [int(each.name.partition("-")[2]) for each in self.folder.glob(f"{place}-*")]


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_workers_run_until_the_supervisor_is_told_to_end(tmp_path: Path) -> None:
    watched = Watched(work.serve, tmp_path)
    code, came = watched.run(lambda: bool(watched.pids(0) and watched.pids(1)))
    assert (code, came) == (0, True)
    pids = watched.pids(0) + watched.pids(1)
    assert sorted(watched.ended) == sorted(pids)
    assert not any(is_alive(pid) for pid in pids)


def test_a_worker_that_is_killed_is_replaced_and_the_others_stay(tmp_path: Path) -> None:
    watched = Watched(work.serve, tmp_path)
    killed: list[int] = []

    def replaced() -> bool:
        pids = watched.pids(0)
        if pids and not killed and watched.pids(1):
            killed.append(pids[0])
            os.kill(pids[0], signal.SIGKILL)
        return len(pids) == 2

    assert watched.run(replaced) == (0, True)
    assert watched.ended[0] == killed[0]
    assert len(watched.pids(1)) == 1


def test_a_worker_whose_loop_stands_still_is_killed_and_replaced(tmp_path: Path) -> None:
    """G41: it is there, and does not even hear SIGTERM."""
    watched = Watched(work.get_stuck, tmp_path, count=1)
    assert watched.run(lambda: len(watched.pids(0)) == 2) == (0, True)
    assert len(watched.ended) == 2


def test_a_worker_that_was_stopped_is_killed_and_replaced(tmp_path: Path) -> None:
    watched = Watched(work.serve, tmp_path, count=1)
    stopped: list[int] = []

    def replaced() -> bool:
        pids = watched.pids(0)
        if pids and not stopped:
            # It has to have been heard once.
            time.sleep(0.3)
            stopped.append(pids[0])
            os.kill(pids[0], signal.SIGSTOP)
        return len(pids) == 2

    assert watched.run(replaced) == (0, True)


def test_a_worker_that_says_farewell_is_given_its_time(tmp_path: Path) -> None:
    """It is silent for longer than one that serves may be, and finishes what it has."""
    watched = Watched(work.leave_slowly, tmp_path, count=1)
    assert watched.run(lambda: len(watched.pids(0)) == 2) == (0, True)
    assert (tmp_path / "left").exists()


def test_where_no_worker_gets_as_far_as_serving_the_supervisor_ends_with_its_code(
    tmp_path: Path,
) -> None:
    watched = Watched(work.fail, tmp_path)
    code, _ = watched.run(lambda: watched.supervisor.exit_code != 0)
    assert code == 7
    # Nobody is started a second time; who had not begun when the first one failed never does.
    assert sorted(len(watched.pids(place)) for place in (0, 1)) in ([0, 1], [1, 1])


def test_a_place_that_fails_again_and_again_is_filled_ever_less_often(tmp_path: Path) -> None:
    watched = Watched(work.fail_later, tmp_path, count=1)
    began: list[float] = []

    def looked() -> bool:
        while len(watched.pids(0)) > len(began):
            began.append(time.monotonic())
        return len(began) == 4

    assert watched.run(looked) == (0, True)
    gaps = [later - earlier for earlier, later in pairwise(began)]
    assert gaps[2] > gaps[1] > 0.5


def test_a_worker_that_does_not_end_in_time_is_killed(tmp_path: Path) -> None:
    watched = Watched(work.ignore, tmp_path, count=1)
    assert watched.run(lambda: bool(watched.pids(0))) == (0, True)
    assert not is_alive(watched.pids(0)[0])
