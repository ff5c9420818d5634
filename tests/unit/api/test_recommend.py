from typing import Any

import pytest
from starlette.testclient import TestClient


def ask(client: TestClient, **query: object) -> dict[str, Any]:
    response = client.post("/recommend", json=query)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def ids(answer: dict[str, Any]) -> list[str]:
    return [item["id"] for item in answer["items"]]


def test_an_answer_names_its_index_its_model_and_its_request(client: TestClient) -> None:
    response = client.post(
        "/recommend", json={"like": ["pin-1"], "k": 3}, headers={"x-request-id": "abc-1"}
    )
    answer = response.json()
    assert answer["request_id"] == response.headers["x-request-id"] == "abc-1"
    assert answer["index"].startswith("pins@2026-11-01T12-00-00Z-")
    assert answer["model"] == "toy@0000000"
    assert (answer["source"], answer["missing"], answer["degraded"]) == ("similar", [], [])
    assert len(answer["items"]) == 3


def test_the_same_question_is_answered_from_the_cache_under_its_own_request_id(
    client: TestClient,
) -> None:
    body = {"like": ["pin-77"], "k": 7}
    first, second = (client.post("/recommend", json=body) for _ in range(2))
    assert 'desc="miss"' in first.headers["server-timing"]
    assert 'desc="local"' in second.headers["server-timing"]
    assert first.json()["request_id"] != second.json()["request_id"]
    assert first.json()["items"] == second.json()["items"]


def test_unknown_ids_are_listed_and_skipped(client: TestClient) -> None:
    answer = ask(client, like=["pin-1", "no-such-pin"], dislike=["nor-this"], k=3)
    assert answer["missing"] == ["no-such-pin", "nor-this"]
    assert len(answer["items"]) == 3


def test_only_the_fields_asked_for_are_returned(client: TestClient) -> None:
    chosen = ask(client, like=["pin-1"], k=1, fields=["title", "no-such-field"])
    assert list(chosen["items"][0]["fields"]) == ["title"]
    none = ask(client, like=["pin-1"], k=1, fields=[])
    assert none["items"][0]["fields"] == {}
    every = ask(client, like=["pin-1"], k=1)
    assert {"title", "description", "category", "tags"} <= every["items"][0]["fields"].keys()


def test_filters_hold_for_every_item(client: TestClient) -> None:
    must = [
        {"key": "category", "match": {"any": ["baking", "coffee-and-tea"]}},
        {"key": "price", "range": {"lte": 40, "gt": 5}},
    ]
    answer = ask(client, text="a gift for somebody who bakes", k=20, filter={"must": must})
    assert answer["items"]
    for item in answer["items"]:
        assert item["fields"]["category"] in {"baking", "coffee-and-tea"}
        assert 5 < item["fields"]["price"] <= 40


def test_excluded_items_do_not_return(client: TestClient) -> None:
    before = ids(ask(client, like=["pin-1"], k=5))
    after = ids(ask(client, like=["pin-1"], k=5, exclude=before[:2]))
    assert not set(before[:2]) & set(after)
    assert len(after) == 5


def test_an_explanation_says_which_seed_and_which_text(client: TestClient) -> None:
    answer = ask(client, like=["pin-1"], text="sourdough bread", k=5, explain=True)
    for item in answer["items"]:
        assert sum(each["share"] for each in item["because"]) == pytest.approx(1.0, abs=0.1)
        assert all(each.get("id") == "pin-1" or each["text"] is True for each in item["because"])


def test_nothing_to_go_by_is_answered_by_the_fallback(client: TestClient) -> None:
    answer = ask(client, k=4)
    assert answer["source"] == "fallback"
    assert ids(answer) == ["pin-283", "pin-267", "pin-164", "pin-200"]


def test_a_list_that_is_shorter_than_asked_says_why(client: TestClient) -> None:
    answer = ask(
        client,
        like=["pin-1"],
        k=500,
        filter={"must": [{"key": "category", "match": {"value": "baking"}}]},
    )
    assert answer["degraded"] == ["fewer_than_k"]
    assert len(answer["items"]) == 21


def test_the_thin_forms_give_what_the_full_form_gives(client: TestClient) -> None:
    full = ask(client, like=["pin-9"], k=6, diversity=0.4, explain=True, fields=["title"])
    thin = client.get("/items/pin-9/similar?k=6&diversity=0.4&explain=true&fields=title").json()
    assert thin["items"] == full["items"]
    searched = client.get("/search", params={"q": "rye bread", "k": 3}).json()
    assert searched["items"] == ask(client, text="rye bread", k=3)["items"]
    assert searched["source"] == "search"


def test_server_timing_names_the_stages(client: TestClient) -> None:
    response = client.get("/search", params={"q": "a text nobody has asked for", "k": 2})
    for stage in ("total", "encode", "search", "rank", "cache"):
        assert stage in response.headers["server-timing"]
