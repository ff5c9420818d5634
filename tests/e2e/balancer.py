"""The smallest balancer that behaves: it asks `/readyz` all the time, and keeps its connections."""

import http.client
import itertools
import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

_POLL_S = 0.05


class Balancer:
    """Sends each request to the next ready backend, from a few threads, and notes what fails.

    Args:
        urls: roots of the backends, whether they run now or not.
        path: what is asked.
        clients: how many ask at once.
    """

    def __init__(self, urls: Sequence[str], path: str, clients: int = 4) -> None:
        self.answered = 0
        self.failures: list[str] = []
        self._hosts = [urlsplit(url).netloc for url in urls]
        self._path = path
        self._ready: list[str] = []
        self._turn = itertools.count()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._poll)]
        self._threads += [threading.Thread(target=self._ask) for _ in range(clients)]

    def __enter__(self) -> Self:
        self._look()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _poll(self) -> None:
        while not self._stop.wait(_POLL_S):
            self._look()

    def _look(self) -> None:
        self._ready = [host for host in self._hosts if _is_ready(host)]

    def _ask(self) -> None:
        connections = {host: http.client.HTTPConnection(host, timeout=10) for host in self._hosts}
        while not self._stop.wait(0.001):
            ready = self._ready
            # A backend that is out loses its idle connections, as with any balancer: the next one
            # on its port would be asked over one that ended with the last.
            for host in self._hosts:
                if host not in ready:
                    connections[host].close()
            if not ready:
                self.failures.append("no backend is ready")
                continue
            connection = connections[ready[next(self._turn) % len(ready)]]
            try:
                connection.request("GET", self._path)
                response = connection.getresponse()
                response.read()
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                self.failures.append(repr(error))
                continue
            if response.status != 200:
                self.failures.append(str(response.status))
            self.answered += 1
        for connection in connections.values():
            connection.close()


def _is_ready(host: str) -> bool:
    connection = http.client.HTTPConnection(host, timeout=2)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
