"""What a million items do while they are served: changes become visible, versions are swapped.

Two services over one folder, each a process of its own, as two replicas on one machine.
"""

import http.client
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random

import numpy as np
import orjson

from benchmarks.http_servers import Server
from benchmarks.http_servers import magpie as serving
from benchmarks.million_catalogue import TEXT, Catalogue
from benchmarks.million_stages import Figures, Watch, magpie, settings, size_mb, together_mb
from service.index.publish import current_version

_CORES = "0,1"
_BATCH, _BATCHES, _SINGLES = 1_000, 3, 20
_PATIENCE_S = 60.0
_LOAD_S = 5.0
_SETTLED_S = 10.0
_ODD_STOCK = 98_765

Item = dict[str, object]


@contextmanager
def two_services(work: Path) -> Iterator[tuple[Server, Server]]:
    """Serve the one catalogue of a folder twice."""
    indexes, environment = work / "indexes", settings(work) | {"MAGPIE_WRITABLE": "true"}
    with (
        serving(indexes, _CORES, environment) as one,
        serving(indexes, _CORES, environment) as other,
    ):
        yield one, other


def update(work: Path, catalogue: Catalogue) -> Figures:
    """Put, patch and delete through one service; how long until the other shows it."""
    others = catalogue.others()
    started = time.perf_counter()
    with two_services(work) as (one, other):
        started_s = time.perf_counter() - started
        acknowledged: dict[str, list[float]] = {}
        seen: dict[str, list[float]] = {"put": [], "patch": [], "delete": []}
        for start in range(0, _BATCH * _BATCHES, _BATCH):
            body = {"items": [_as_put(item) for item in others[start : start + _BATCH]]}
            _timed(acknowledged, "put of 1,000", one, "PUT", "/items", body)
        for item in others[_BATCH * _BATCHES : _BATCH * _BATCHES + _SINGLES]:
            _timed(acknowledged, "put", one, "PUT", "/items", {"items": [_as_put(item)]})
            seen["put"].append(_until(partial(_shows, other, item)))
            change = {"attributes": {"stock": _ODD_STOCK}}
            _timed(acknowledged, "patch", one, "PATCH", f"/items/{item['id']}", change)
            seen["patch"].append(_until(partial(_shows, other, item, _ODD_STOCK)))
        for row in catalogue.rows_on_both_days(_SINGLES):
            item = catalogue.item(row, row)
            _until(partial(_shows, other, item))
            _timed(acknowledged, "delete", one, "DELETE", f"/items/{item['id']}", None)
            seen["delete"].append(_until(partial(_lacks, other, item)))
        memory = together_mb([one.pid, other.pid])
    figures: Figures = {
        "two_services_ready_s": started_s,
        "put_items": _BATCH * _BATCHES + _SINGLES,
    }
    figures |= {f"{kind}_ms": _median_ms(each) for kind, each in acknowledged.items()}
    figures |= {f"{kind}_visible_max_s": max(each) for kind, each in seen.items()}
    return figures | {f"{name}_mb": size for name, size in memory.items()}


def swap(
    work: Path,
    name: str,
    to: str,
    asked: Sequence[str],
    holds: Mapping[str, Callable[[str], bool]],
) -> Figures:
    """Publish a version and roll back while both services answer.

    Args:
        work: the folder of indexes and models.
        name: of the catalogue.
        to: the version to publish.
        asked: ids of items that both versions hold.
        holds: for both versions, whether an item of this id can be in it.
    """
    before = current_version(work / "indexes", name)
    one_index_mb = size_mb(work / "indexes" / name / to)
    with two_services(work) as services:
        pids = [server.pid for server in services]
        with Load.on(services, asked, holds) as load, Watch(pids) as watch:
            time.sleep(_LOAD_S)
            steady = together_mb(pids)
            _, published = magpie(["index", "publish", name, to], work)
            agreed = [_until(lambda: _all_serve(services, asked[0], f"{name}@{to}"))]
            time.sleep(_LOAD_S)
            _, rolled = magpie(["index", "rollback", name], work)
            agreed.append(_until(lambda: _all_serve(services, asked[0], f"{name}@{before}")))
            time.sleep(_SETTLED_S)
            settled = together_mb(pids)
    return {
        "publish_s": published["wall_s"],
        "publish_agreed_s": agreed[0],
        "rollback_s": rolled["wall_s"],
        "rollback_agreed_s": agreed[1],
        "answers": sum(load.answers.values()),
        "versions_named": len(load.answers),
        "failed": len(load.failures),
        "first_failure": next(iter(load.failures), ""),
        "ids_of_another_version": load.strangers,
        "p99_ms": load.p99_ms(),
        "one_index_mb": one_index_mb,
        "steady_pss_mb": steady["pss"],
        "peak_pss_mb": watch.peak["pss"],
        "settled_pss_mb": settled["pss"],
        "steady_private_mb": steady["private"],
        "peak_private_mb": watch.peak["private"],
    }


@dataclass
class Load:
    """Threads that ask for the neighbours of random items until they are told to stop."""

    services: Sequence[Server]
    asked: Sequence[str]
    holds: Mapping[str, Callable[[str], bool]]
    answers: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    spent_s: list[float] = field(default_factory=list)
    strangers: int = 0
    _is_over: threading.Event = field(default_factory=threading.Event)

    @classmethod
    @contextmanager
    def on(
        cls,
        services: Sequence[Server],
        asked: Sequence[str],
        holds: Mapping[str, Callable[[str], bool]],
    ) -> "Iterator[Load]":
        """Ask while a block runs."""
        load = cls(services, asked, holds)
        threads = [
            threading.Thread(target=load._ask, args=(server, number))
            for number, server in enumerate(services)
        ]
        for thread in threads:
            thread.start()
        try:
            yield load
        finally:
            load._is_over.set()
            for thread in threads:
                thread.join()

    def p99_ms(self) -> float:
        """What 99 of 100 answers did not exceed."""
        return float(np.quantile(self.spent_s, 0.99)) * 1e3

    def _ask(self, server: Server, seed: int) -> None:
        chance = Random(seed)
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        while not self._is_over.wait(0.02):
            body = orjson.dumps({"like": [chance.choice(self.asked)], "k": 10})
            started = time.perf_counter()
            try:
                connection.request("POST", "/recommend", body, {"content-type": "application/json"})
                answer = connection.getresponse()
                content = answer.read()
            except OSError as error:
                self.failures.append(repr(error))
                connection.close()
                continue
            self.spent_s.append(time.perf_counter() - started)
            if answer.status == 200:
                self._note(orjson.loads(content))
            else:
                self.failures.append(f"{answer.status} {content[:200]!r}")
        connection.close()

    def _note(self, content: Mapping[str, object]) -> None:
        version = str(content["index"])
        self.answers[version] += 1
        items = content["items"]
        assert isinstance(items, list)
        self.strangers += sum(not self.holds[version](item["id"]) for item in items)


def _send(server: Server, method: str, path: str, body: object) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    content = None if body is None else orjson.dumps(body)
    connection.request(method, path, content, {"content-type": "application/json"})
    answer = connection.getresponse()
    found = answer.read()
    connection.close()
    if answer.status != 200:
        raise SystemExit(f"{method} {path}: {answer.status} {found[:500]!r}")
    return found


def _timed(
    spent: dict[str, list[float]], kind: str, server: Server, method: str, path: str, body: object
) -> None:
    started = time.perf_counter()
    _send(server, method, path, body)
    spent.setdefault(kind, []).append(time.perf_counter() - started)


def _until(is_so: Callable[[], bool]) -> float:
    """Seconds until something is so, from now."""
    started = time.perf_counter()
    while not is_so():
        if time.perf_counter() - started > _PATIENCE_S:
            raise SystemExit(f"not so after {_PATIENCE_S:.0f} s")
        time.sleep(0.01)
    return time.perf_counter() - started


def _found(server: Server, item: Item) -> dict[str, object]:
    """The items that answer a search for the text of an item, with their stock."""
    body = {"text": TEXT.format(**item), "k": 10, "fields": ["stock"]}
    answer = orjson.loads(_send(server, "POST", "/recommend", body))
    return {each["id"]: each["fields"].get("stock") for each in answer["items"]}


def _shows(server: Server, item: Item, stock: int | None = None) -> bool:
    """Whether an item is in the answer to its own text, with this stock if one is asked for."""
    found = _found(server, item)
    return item["id"] in found and stock in (None, found[str(item["id"])])


def _lacks(server: Server, item: Item) -> bool:
    return item["id"] not in _found(server, item)


def _all_serve(services: Sequence[Server], asked: str, version: str) -> bool:
    body = {"like": [asked], "k": 1}
    return all(
        orjson.loads(_send(server, "POST", "/recommend", body))["index"] == version
        for server in services
    )


def _as_put(item: Item) -> Item:
    attributes = {name: value for name, value in item.items() if name != "id"}
    return {"id": item["id"], "attributes": attributes}


def _median_ms(seconds: Sequence[float]) -> float:
    return float(np.median(seconds)) * 1e3
