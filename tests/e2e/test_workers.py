"""Several workers behind one address: none of them can take the service down, and they agree."""

import http.client
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from service.index.publish import publish
from tests.e2e.balancer import Balancer
from tests.faults.cache.redis_server import free_port

NOW = datetime(2026, 11, 2, tzinfo=UTC)
TITLES = ["rye bread", "sourdough bread", "white bread rolls", "flower pot", "garden flower bed"]
PATH = "/items/item-1/similar?k=2"
REQUESTS = "http_server_request_duration_seconds_count"

# Processor time is counted in hundredths of a second.
IDLE_S = 10.0 if os.environ.get("FAULTS") == "all" else 3.0

Workshop = Any
Wait = Callable[..., None]


class Clients:
    """Ask over connections that are kept; who loses one tries again, once, over another.

    `failures` counts requests that failed at first, `lost` those that failed again.
    """

    def __init__(self, url: str, count: int = 4) -> None:
        self.answered = self.failures = self.lost = 0
        self._host = urlsplit(url).netloc
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(count)]

    def __enter__(self) -> "Clients":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _ask(self) -> None:
        connection = http.client.HTTPConnection(self._host, timeout=10)
        while not self._stop.wait(0.001):
            try:
                self._once(connection)
            except (OSError, http.client.HTTPException):
                self.failures += 1
                connection.close()
                connection = http.client.HTTPConnection(self._host, timeout=10)
                try:
                    self._once(connection)
                except (OSError, http.client.HTTPException):
                    self.lost += 1
            self.answered += 1
        connection.close()

    def _once(self, connection: http.client.HTTPConnection) -> None:
        connection.request("GET", PATH)
        response = connection.getresponse()
        response.read()
        if response.status != 200:
            raise http.client.HTTPException(response.status)


@contextmanager
def two_workers(workshop: Workshop, **variables: str) -> Iterator[Any]:
    with workshop.serving("shop", MAGPIE_WORKERS="2", **variables) as service:
        try:
            yield service
        finally:
            if service.process.poll() is None:
                service.stop()


@pytest.fixture
def shop(workshop: Workshop) -> Workshop:
    publish(workshop.indexes, "shop", workshop.build("shop", TITLES, 1), now=NOW)
    return workshop


def workers(service: Any) -> list[int]:
    """Processes that serve; beside them there is one of Python's own, which does not listen."""
    found = []
    for child in psutil.Process(service.process.pid).children():
        # One may end while it is looked at.
        with suppress(psutil.Error):
            if "spawn_main" in " ".join(child.cmdline()):
                found.append(child.pid)
    return sorted(found)


def serving_workers(service: Any) -> float:
    """How many workers are up, by their own account."""
    return sum(figures(service, "rec_index_version_info").values())


def figures(service: Any, name: str) -> dict[str, float]:
    with _asking(service.url) as connection:
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
    return {
        ",".join(sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name
    }


def processor_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def listens(pid: int, port: int) -> bool:
    with suppress(psutil.Error):
        connections = psutil.Process(pid).net_connections("tcp")
        ports = {each.laddr.port for each in connections if each.status == psutil.CONN_LISTEN}
        return port in ports
    return False


@contextmanager
def _asking(url: str) -> Iterator[http.client.HTTPConnection]:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=10)
    try:
        yield connection
    finally:
        connection.close()


@pytest.mark.parametrize("fate", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
def test_a_worker_that_is_killed_or_stopped_is_replaced_and_costs_what_it_was_answering(
    shop: Workshop, wait: Wait, fate: signal.Signals
) -> None:
    """G40, G41: one failure a connection at most, and with a second try none."""
    with two_workers(shop) as service:
        wait(lambda: serving_workers(service) == 2, "both workers")
        before = workers(service)
        with Clients(service.url) as clients:
            wait(lambda: clients.answered > 200, "some traffic")
            os.kill(before[0], fate)
            wait(lambda: before[0] not in workers(service), "it to be gone")
            wait(lambda: len(workers(service)) == 2, "another one")
            wait(lambda: serving_workers(service) == 2, "the other one to serve")
            answered = clients.answered
            wait(lambda: clients.answered > answered + 200, "more traffic")
        assert clients.failures <= 4
        assert clients.lost == 0
        assert before[1] in workers(service)
        # What the lost one had counted is still there, so that no counter goes back.
        counted = figures(service, REQUESTS)["GET,/items/{item_id:path}/similar,2xx"]
        assert counted >= clients.answered - clients.failures - 4


def test_the_end_of_a_service_of_several_workers_loses_no_request(
    shop: Workshop, wait: Wait
) -> None:
    """G42: all turn unready at once, serve on, and leave with code 0."""
    with ExitStack() as running:
        other = running.enter_context(shop.serving("shop"))
        service = running.enter_context(two_workers(shop, MAGPIE_DRAIN_S="1"))
        wait(lambda: serving_workers(service) == 2, "both workers")
        pids = workers(service)
        with Balancer([service.url, other.url], PATH) as balancer:
            wait(lambda: balancer.answered > 100, "some traffic")
            assert service.stop() == 0
            wait(lambda: balancer.answered > 300, "more traffic")
        assert balancer.failures == []
        assert not any(psutil.pid_exists(pid) for pid in pids)


def test_all_workers_take_over_a_new_version_and_their_figures_are_added_up(
    shop: Workshop, wait: Wait
) -> None:
    with two_workers(shop) as service:
        wait(lambda: serving_workers(service) == 2, "both workers")
        version = shop.build("shop", [*TITLES, "rye rolls"], 2)
        publish(shop.indexes, "shop", version, now=NOW)

        def agree() -> bool:
            served = figures(service, "rec_index_version_info")
            return {key.partition(",")[0]: n for key, n in served.items() if n} == {
                f"shop@{version}": 2.0
            }

        wait(agree, "both to serve the new version")
        for _ in range(20):
            assert service.get(PATH).status == 200
        counted = figures(service, REQUESTS)
        assert counted["GET,/items/{item_id:path}/similar,2xx"] == 20
        # Counted by the caches themselves, and carried over once a second.
        wait(
            lambda: figures(service, "rec_cache_lookups_total")["hit,repeats"] >= 18,
            "the figures of both",
        )


def test_one_worker_listens_for_admins_and_its_place_is_filled_again(
    shop: Workshop, wait: Wait
) -> None:
    port = free_port()
    with two_workers(shop, MAGPIE_ADMIN_PORT=str(port)) as service:
        wait(lambda: serving_workers(service) == 2, "both workers")

        def listeners() -> set[int]:
            return {pid for pid in workers(service) if listens(pid, port)}

        (steering,) = listeners()
        os.kill(steering, signal.SIGKILL)
        wait(lambda: len(listeners()) == 1 and steering not in listeners(), "another one")
        with _asking(f"http://127.0.0.1:{port}") as connection:
            connection.request("POST", "/admin/reload")
            assert connection.getresponse().status == 200


def test_workers_that_nobody_asks_leave_the_cores_alone(shop: Workshop, wait: Wait) -> None:
    """G48: at most 2 % of a core each, and the supervisor with them."""
    with two_workers(shop) as service:
        wait(lambda: serving_workers(service) == 2, "both workers")
        processes = [psutil.Process(pid) for pid in (service.process.pid, *workers(service))]
        # The first second is for what comes after a start.
        time.sleep(1.0)
        before = [processor_s(each) for each in processes]
        time.sleep(IDLE_S)
        spent = [processor_s(each) - was for each, was in zip(processes, before, strict=True)]
        assert max(spent) <= 0.02 * IDLE_S


def test_workers_end_when_their_supervisor_is_killed(shop: Workshop, wait: Wait) -> None:
    with two_workers(shop) as service:
        wait(lambda: serving_workers(service) == 2, "both workers")
        pids = workers(service)
        service.process.kill()
        service.process.wait()
        wait(lambda: not any(psutil.pid_exists(pid) for pid in pids), "the workers to end")


def test_workers_that_cannot_start_end_the_service_with_the_reason(workshop: Workshop) -> None:
    workshop.indexes.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "service", "serve", "nothing", "--port", "0"]
    done = subprocess.run(
        [*command, "--workers", "2"],
        env={**os.environ, "MAGPIE_INDEXES_DIR": str(workshop.indexes)},
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert done.returncode != 0
    assert b"nothing" in done.stderr
    assert b"Traceback" not in done.stderr
