"""A list over several pages: nothing twice, whatever happens between, and honest at the end."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from service.api.app import create_app
from service.settings import Settings
from tests.conftest import build_pins


def ask(client: TestClient, **query: object) -> dict[str, Any]:
    response = client.post("/recommend", json=query)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def pages(client: TestClient, **query: object) -> list[list[str]]:
    found, cursor = [], None
    while True:
        answer = ask(client, **query, **({"cursor": cursor} if cursor else {}))
        found.append([item["id"] for item in answer["items"]])
        cursor = answer["cursor"]
        if cursor is None:
            return found


def refused(client: TestClient, **query: object) -> tuple[int, str]:
    response = client.post("/recommend", json=query)
    return response.status_code, response.json()["code"]


def test_pages_together_are_the_whole_list(client: TestClient) -> None:
    query = {"like": ["pin-40"], "fields": []}
    found = pages(client, k=100, **query)
    assert [len(page) for page in found[:-1]] == [100] * (len(found) - 1)
    every = [each for page in found for each in page]
    assert len(set(every)) == len(every)
    assert every[:300] == [e["id"] for e in ask(client, k=300, **query)["items"]]


@pytest.mark.parametrize(
    "query",
    [
        {"like": ["pin-40", "pin-90"], "diversity": 0.5},
        {"like": ["pin-40"], "limit_per": [{"key": "board", "max": 2}]},
        {"text": "bread", "strategy": "best_score", "dislike": ["pin-60"]},
        {
            "like": ["pin-40"],
            "promoted": {
                "filter": {"must": [{"key": "category", "match": {"value": "baking"}}]},
                "share": 0.25,
            },
        },
        {},
    ],
)
def test_no_item_comes_twice(client: TestClient, query: dict[str, object]) -> None:
    every = [each for page in pages(client, k=70, fields=[], **query) for each in page]
    assert len(set(every)) == len(every) > 70


def test_caps_hold_over_all_pages(client: TestClient) -> None:
    capped = {"like": ["pin-40"], "limit_per": [{"key": "category", "max": 3}], "k": 5}
    seen: dict[str, int] = {}
    cursor = None
    for _ in range(4):
        answer = ask(client, **capped, **({"cursor": cursor} if cursor else {}))
        for item in answer["items"]:
            category = item["fields"]["category"]
            seen[category] = seen.get(category, 0) + 1
        cursor = answer["cursor"]
    assert max(seen.values()) <= 3


def test_a_list_ends_without_a_cursor(client: TestClient) -> None:
    last = ask(client, like=["pin-40"], k=500, min_score=0.9)
    assert last["cursor"] is None
    assert last["degraded"] == ["fewer_than_k"]


def test_a_cursor_of_another_request_is_refused(client: TestClient) -> None:
    cursor = ask(client, like=["pin-40"], k=5)["cursor"]
    for other in ({"like": ["pin-41"]}, {"like": ["pin-40"], "diversity": 0.1}, {}):
        assert refused(client, k=5, cursor=cursor, **other) == (422, "invalid_cursor")


@hypothesis_settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.binary(max_size=120), st.integers(0, 40))
def test_a_forged_cursor_is_refused(client: TestClient, forged: bytes, place: int) -> None:
    real = urlsafe_b64decode(ask(client, like=["pin-40"], k=2)["cursor"] + "==")
    changed = bytearray(real)
    # Its first eight bytes name the version: one of no version that is served has expired.
    changed[8 + place % (len(real) - 8)] ^= 1
    for each in (bytes(changed), real[:8] + forged, real[:-1], real + b"\0"):
        cursor = urlsafe_b64encode(each).rstrip(b"=").decode()
        assert refused(client, like=["pin-40"], k=2, cursor=cursor) == (422, "invalid_cursor")


def test_the_thin_forms_have_pages_too(client: TestClient) -> None:
    for path in ("/items/pin-40/similar?", "/search?q=rye+bread&"):
        first = client.get(f"{path}k=4").json()
        second = client.get(f"{path}k=4&cursor={first['cursor']}").json()
        ids = [item["id"] for page in (first, second) for item in page["items"]]
        assert len(set(ids)) == 8


@pytest.mark.parametrize("key", [None, "a key of the operator's"])
def test_a_cursor_goes_on_in_another_process_and_ends_with_its_version(
    tmp_path: Path, pins_path: Path, toy_models: Path, key: str | None
) -> None:
    moments = [datetime(2026, 11, 1, 12, minute, tzinfo=UTC) for minute in (0, 1)]
    build_pins(pins_path, toy_models, tmp_path, now=moments[0])
    settings = Settings.model_validate(
        {"models_dir": toy_models, "indexes_dir": tmp_path, "cursor_key": key}
    )
    query: dict[str, object] = {"like": ["pin-40"], "k": 5}
    with TestClient(create_app(settings)) as one, TestClient(create_app(settings)) as other:
        first = ask(one, **query)
        query["cursor"] = first["cursor"]
        second = ask(other, **query)
        assert not {e["id"] for e in first["items"]} & {e["id"] for e in second["items"]}
    build_pins(pins_path, toy_models, tmp_path, now=moments[1])
    with TestClient(create_app(settings)) as later:
        assert refused(later, **query) == (410, "cursor_expired")


def test_changes_between_pages_bring_no_item_back(
    tmp_path: Path, pins_path: Path, toy_models: Path
) -> None:
    build_pins(pins_path, toy_models, tmp_path, now=datetime(2026, 11, 1, 12, 0, tzinfo=UTC))
    settings = Settings(models_dir=toy_models, indexes_dir=tmp_path, writable=True)
    with TestClient(create_app(settings)) as client:
        query: dict[str, object] = {"like": ["pin-40"], "k": 5}
        put = {"items": [{"id": f"new-{n}", "attributes": {"title": f"Loaf {n}"}} for n in (1, 2)]}
        assert client.put("/items", json=put).status_code == 200
        shown = ask(client, text="loaf", **query)
        first = [item["id"] for item in shown["items"]]
        assert {"new-1", "new-2"} & set(first)
        # One that was shown is replaced, another deleted, and something better appears.
        changed = {"items": [{"id": first[-1], "attributes": {"title": "Loaf loaf"}}]}
        assert client.put("/items", json=changed).status_code == 200
        assert client.delete(f"/items/{first[0]}").status_code == 200
        better = {"items": [{"id": "new-3", "attributes": {"title": "Loaf"}}]}
        assert client.put("/items", json=better).status_code == 200
        second = ask(client, text="loaf", cursor=shown["cursor"], **query)
        assert not set(first) & {item["id"] for item in second["items"]}
        assert len(second["items"]) == 5
