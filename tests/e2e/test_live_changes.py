"""Items changed through one real service are in the answers of all, whatever is killed between."""

import signal
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from service.index.publish import publish

NOW = datetime(2026, 11, 2, tzinfo=UTC)
TITLES = ["rye bread", "sourdough bread", "white bread rolls", "flower pot", "garden flower bed"]
WRITABLE = {"MAGPIE_WRITABLE": "true"}
# The promise is a second; a busy machine may stop every process for longer than that.
PATIENCE_S = 10.0

Workshop = Any
Service = Any
Wait = Callable[..., None]


def send(service: Service, method: str, path: str, body: object = None) -> tuple[int, Any]:
    request = urllib.request.Request(
        service.url + path,
        None if body is None else orjson.dumps(body),
        {"content-type": "application/json"},
        method=method,
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.status, orjson.loads(response.read())
    except urllib.error.HTTPError as error:
        return error.code, orjson.loads(error.read())


def put(service: Service, **titles: str) -> None:
    items = [{"id": name, "attributes": {"title": title}} for name, title in titles.items()]
    status, body = send(service, "PUT", "/items", {"items": items})
    assert status == 200, body


def shown(service: Service) -> set[str]:
    return {item["id"] for item in service.recommend(k=100).body["items"]}


@pytest.fixture
def shop(workshop: Workshop) -> Workshop:
    publish(workshop.indexes, "shop", workshop.build("shop", TITLES, 1), now=NOW)
    return workshop


@contextmanager
def pair(shop: Workshop) -> Iterator[tuple[Service, Service]]:
    with shop.serving("shop", **WRITABLE) as one, shop.serving("shop", **WRITABLE) as other:
        yield one, other


def test_both_services_show_what_either_accepts(shop: Workshop, wait: Wait) -> None:
    everything = {f"item-{n}" for n in range(5)}
    with pair(shop) as (one, other):
        assert shown(one) == shown(other) == everything
        put(one, new="rye bread knife")
        assert shown(one) == everything | {"new"}
        wait(lambda: shown(other) == everything | {"new"}, "the other to see it", PATIENCE_S)
        assert send(other, "DELETE", "/items/item-0")[0] == 200
        assert "item-0" not in shown(other)
        wait(lambda: "item-0" not in shown(one), "the first to see the deletion", PATIENCE_S)
        assert send(one, "PATCH", "/items/new", {"attributes": {"hidden": True}})[0] == 200
        wait(lambda: "new" not in shown(other), "the other to see it hidden", PATIENCE_S)
        assert other.get("/items/new").body["is_shown"] is False


def test_an_item_vanishes_when_its_time_is_over_although_answers_are_cached(
    shop: Workshop, wait: Wait
) -> None:
    with shop.serving("shop", **WRITABLE) as service:
        until = time.time() + 2.0
        attributes = {"title": "rye bread", "available_until": until}
        send(service, "PUT", "/items", {"items": [{"id": "sale", "attributes": attributes}]})
        assert "sale" in shown(service) or time.time() > until
        wait(lambda: "sale" not in shown(service), "the sale to end", PATIENCE_S)
        assert time.time() >= until


def test_what_was_acknowledged_survives_kill_9_under_writes(shop: Workshop, wait: Wait) -> None:
    acknowledged: list[str] = []
    with shop.serving("shop", **WRITABLE) as service:

        def write(thread: int) -> None:
            for turn in range(10_000):
                name = f"new-{thread}-{turn}"
                try:
                    put(service, **{name: "bread"})
                except OSError:
                    return
                acknowledged.append(name)

        threads = [threading.Thread(target=write, args=(n,)) for n in range(2)]
        for thread in threads:
            thread.start()
        wait(lambda: len(acknowledged) >= 20, "some changes to be acknowledged")
        service.process.send_signal(signal.SIGKILL)
        for thread in threads:
            thread.join()
    with shop.serving("shop") as again:
        lost = [name for name in acknowledged if again.get(f"/items/{name}").status != 200]
        assert not lost
        assert send(again, "PUT", "/items", {"items": []})[0] == 403


def test_changes_go_along_to_another_version_and_back(shop: Workshop, wait: Wait) -> None:
    second = shop.build("shop", ["flower", "bread", "rye", "garden", "pot", "knife"], 2)
    with pair(shop) as (one, other):
        put(one, new="rye bread knife")
        send(one, "DELETE", "/items/item-1")
        publish(shop.indexes, "shop", second, now=NOW)
        expected = {"new", *(f"item-{n}" for n in range(6))} - {"item-1"}
        for service in (one, other):
            wait(lambda service=service: shown(service) == expected, "the second version")
