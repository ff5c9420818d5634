from typing import Any

import pytest
from starlette.testclient import TestClient


def post(client: TestClient, path: str, body: object) -> dict[str, Any]:
    response = client.post(path, json=body)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


QUERIES: list[dict[str, object]] = [
    {"like": ["pin-1"], "k": 3},
    {"text": "rye bread", "k": 4, "fields": ["title"]},
    {"text": "a chair by the window", "like": ["pin-9"], "k": 2, "explain": "words"},
    {"like": ["pin-1"], "k": 3, "filter": {"must": [{"key": "price", "range": {"lte": 40}}]}},
    {"k": 2},
    {"like": ["pin-7", "pin-90"], "k": 30, "diversity": 0.4},
]


def test_a_batch_answers_as_each_request_alone(client: TestClient) -> None:
    batch = post(client, "/recommend/batch", {"queries": QUERIES})
    assert len(batch["answers"]) == len(QUERIES)
    for query, answer in zip(QUERIES, batch["answers"], strict=True):
        alone = post(client, "/recommend", query)
        assert answer["request_id"] == batch["request_id"]
        assert {**answer, "request_id": ""} == {**alone, "request_id": ""}


def test_every_entry_has_its_own_problem(client: TestClient) -> None:
    bad: list[dict[str, object]] = [
        {"k": 0},
        {"filter": {"must": [{"key": "no-such", "match": {"value": 1}}]}},
        {"like": ["pin-1"], "k": 2},
        {"cursor": "forged"},
        {"limit_per": [{"key": "no-such", "max": 1}]},
        {"unknown": True},
    ]
    answers = post(client, "/recommend/batch", {"queries": bad})["answers"]
    found = [each["problem"]["code"] if "problem" in each else "fine" for each in answers]
    assert found == [
        "invalid_request",
        "invalid_filter",
        "fine",
        "invalid_cursor",
        "invalid_query",
        "invalid_request",
    ]
    assert [each["where"] for each in answers[0]["problem"]["errors"]] == ["k"]


@pytest.mark.parametrize(
    "body",
    [{}, {"queries": []}, {"queries": [{}] * 101}, {"queries": [{}], "more": 1}, {"queries": {}}],
)
def test_a_batch_of_the_wrong_form_is_refused_as_a_whole(client: TestClient, body: object) -> None:
    response = client.post("/recommend/batch", json=body)
    assert (response.status_code, response.json()["code"]) == (422, "invalid_request")


def test_entries_that_are_no_json_numbers_are_refused(client: TestClient) -> None:
    for number in ("NaN", "1e999"):
        body = f'{{"queries": [{{"diversity": {number}}}]}}'
        headers = {"content-type": "application/json"}
        response = client.post("/recommend/batch", content=body, headers=headers)
        answered = response.json()
        assert response.status_code == 400 or "problem" in answered["answers"][0]


def test_a_given_list_is_ordered_by_its_seeds(client: TestClient) -> None:
    near = post(client, "/recommend", {"like": ["pin-1"], "k": 6})["items"]
    given = [item["id"] for item in near]
    mixed = ["no-such", *given[::-1], "pin-1", given[0]]
    answer = post(client, "/rank", {"ids": mixed, "like": ["pin-1"]})
    assert [item["id"] for item in answer["items"]] == ["pin-1", *given]
    assert answer["missing"] == ["no-such"]
    assert answer["items"][1]["score"] == pytest.approx(near[0]["score"], abs=1e-6)
    assert (answer["counts"]["asked"], answer["cursor"]) == (8, None)


def test_a_given_list_can_be_cut_and_filtered(client: TestClient) -> None:
    given = [f"pin-{n}" for n in range(1, 30)]
    filter_ = {"must": [{"key": "price", "range": {"lte": 30}}]}
    answer = post(client, "/rank", {"ids": given, "text": "herbs", "k": 2, "filter": filter_})
    assert len(answer["items"]) == 2
    assert all(item["fields"]["price"] <= 30 for item in answer["items"])
    assert answer["counts"]["filtered_out"]["filter"] > 0


def test_without_a_known_seed_a_given_list_stays_as_it_is(client: TestClient) -> None:
    given = ["pin-9", "pin-3", "pin-5"]
    answer = post(client, "/rank", {"ids": given, "like": ["nobody"]})
    assert [item["id"] for item in answer["items"]] == given
    assert (answer["source"], answer["degraded"]) == ("fallback", ["no_known_seed"])
