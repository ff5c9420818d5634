"""Whatever is wrong with a request, it is a clear 4xx in one shape that repeats none of it."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

JSON = {"content-type": "application/json"}
CANARY = "canary-9f3b"

BODIES: dict[str, tuple[bytes, int, str]] = {
    "empty": (b"", 400, "invalid_json"),
    "not json": (b"{like: pin-1}", 400, "invalid_json"),
    "cut off": (b'{"like": ["pin-1"', 400, "invalid_json"),
    "an array": (b"[]", 422, "invalid_request"),
    "NaN": (b'{"diversity": NaN}', 422, "invalid_request"),
    "infinity": (b'{"diversity": Infinity}', 422, "invalid_request"),
    "a number without end": (b'{"diversity": 1e999}', 422, "invalid_request"),
    "five thousand digits": (b'{"k": ' + b"9" * 5000 + b"}", 400, "invalid_json"),
    "two to the sixty-third": (b'{"k": 9223372036854775808}', 422, "invalid_request"),
    "k is zero": (b'{"k": 0}', 422, "invalid_request"),
    "k is negative": (b'{"k": -1}', 422, "invalid_request"),
    "k is too large": (b'{"k": 501}', 422, "invalid_request"),
    "k is a string": (b'{"k": "5"}', 422, "invalid_request"),
    "k is a fraction": (b'{"k": 1.5}', 422, "invalid_request"),
    "k is true": (b'{"k": true}', 422, "invalid_request"),
    "like is a string": (b'{"like": "pin-1"}', 422, "invalid_request"),
    "an id is a number": (b'{"like": [17]}', 422, "invalid_request"),
    "an id is empty": (b'{"like": [""]}', 422, "invalid_request"),
    "an id is long": (b'{"like": ["' + b"x" * 513 + b'"]}', 422, "invalid_request"),
    "a weight is zero": (b'{"like": [{"id": "pin-1", "weight": 0}]}', 422, "invalid_request"),
    "NUL in an id": (b'{"like": ["a\\u0000b"]}', 422, "invalid_request"),
    "a lone surrogate": (b'{"text": "\\ud800"}', 400, "invalid_json"),
    "invalid UTF-8": (b'{"text": "\xff\xfe"}', 400, "invalid_json"),
    "a byte order mark": (b'\xef\xbb\xbf{"k": 1}', 400, "invalid_json"),
    "a blank text": (b'{"text": "  "}', 422, "invalid_request"),
    "a text without end": (b'{"text": "' + b"a" * 2001 + b'"}', 422, "invalid_request"),
    "an unknown field": (b'{"' + CANARY.encode() + b'": 1}', 422, "invalid_request"),
    "a key twice": (b'{"k": 1, "k": 2}', 400, "duplicate_key"),
    "an inner key twice": (
        b'{"filter": {"must": [{"key": "a", "key": "b"}]}}',
        400,
        "duplicate_key",
    ),
    "depth": (b"[" * 200_000 + b"]" * 200_000, 400, "invalid_json"),
    "an unknown filter key": (
        b'{"filter": {"must": [{"key": "colour", "match": {"value": "red"}}]}}',
        422,
        "invalid_filter",
    ),
    "a range on words": (
        b'{"filter": {"must": [{"key": "title", "range": {"gt": 1}}]}}',
        422,
        "invalid_filter",
    ),
    "a range without bounds": (
        b'{"filter": {"must": [{"key": "price", "range": {}}]}}',
        422,
        "invalid_request",
    ),
    "two tests at once": (
        b'{"filter": {"must": [{"key": "price", "match": {"value": 1}, "range": {"gt": 1}}]}}',
        422,
        "invalid_request",
    ),
    "no test at all": (b'{"filter": {"must": [{"key": "price"}]}}', 422, "invalid_request"),
    "an unknown clause": (b'{"filter": {"most": []}}', 422, "invalid_request"),
    "diversity above one": (b'{"diversity": 1.01}', 422, "invalid_request"),
}


def assert_problem(response: Any, status: int, code: str) -> None:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert (problem["status"], problem["code"]) == (status, code)
    assert problem["request_id"] == response.headers["x-request-id"]
    assert problem["detail"]
    assert CANARY not in response.text


@pytest.mark.parametrize("name", BODIES)
def test_a_bad_body_is_refused_by_name(client: TestClient, name: str) -> None:
    body, status, code = BODIES[name]
    assert_problem(client.post("/recommend", content=body, headers=JSON), status, code)


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/items/no-such-pin/similar", 404, "item_not_found"),
        ("/items/pin-1/similar?k=0", 422, "invalid_request"),
        ("/items/pin-1/similar?k=five", 422, "invalid_request"),
        ("/items/pin-1/similar?diversity=nan", 422, "invalid_request"),
        ("/items/pin-1/similar?k=1&k=2", 400, "duplicate_parameter"),
        (f"/items/pin-1/similar?{CANARY}=1", 422, "invalid_request"),
        ("/search", 422, "invalid_request"),
        ("/search?q=", 422, "invalid_request"),
        ("/search?q=%00", 422, "invalid_request"),
        ("/no/such/page", 404, "not_found"),
        ("/web/../app.py", 404, "not_found"),
        ("/recommend", 405, "method_not_allowed"),
    ],
)
def test_a_bad_address_is_refused_by_name(
    client: TestClient, path: str, status: int, code: str
) -> None:
    assert_problem(client.get(path), status, code)


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/recommend", "POST"),
        ("/items/pin-1", "DELETE, GET, PATCH"),
        # An item whose id ended so could be changed through an address that is not its own.
        ("/items/pin-1/similar", "GET"),
    ],
)
def test_a_wrong_method_is_told_which_ones_there_are(
    client: TestClient, path: str, allowed: str
) -> None:
    for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"} - set(allowed.split(", ")):
        response = client.request(method, path)
        assert_problem(response, 405, "method_not_allowed")
        assert response.headers["allow"] == allowed


def test_a_body_that_is_not_json_by_its_type_is_refused(client: TestClient) -> None:
    assert_problem(client.post("/recommend", content=b"{}"), 415, "unsupported_media_type")


def test_a_body_of_five_megabytes_is_refused_whether_or_not_it_admits_its_size(
    client: TestClient,
) -> None:
    large = b'{"text": "' + b"a" * 5_000_000 + b'"}'
    told = client.post("/recommend", content=large, headers=JSON)
    assert_problem(told, 413, "body_too_large")
    chunks = (large[start : start + 65536] for start in range(0, len(large), 65536))
    assert_problem(client.post("/recommend", content=chunks, headers=JSON), 413, "body_too_large")


def test_a_request_id_that_could_forge_a_header_is_replaced(client: TestClient) -> None:
    response = client.post("/recommend", json={"k": 1}, headers={"x-request-id": 'a"b, c'})
    assert response.headers["x-request-id"] == response.json()["request_id"] != 'a"b, c'


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)
requests = st.fixed_dictionaries(
    {},
    optional={
        name: json_values
        for name in (
            "like",
            "dislike",
            "text",
            "k",
            "filter",
            "exclude",
            "diversity",
            "explain",
            "fields",
        )
    },
)


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(request=requests | json_values)
def test_no_json_whatever_makes_the_service_fail(client: TestClient, request: object) -> None:
    try:
        body = json.dumps(request).encode()
    except UnicodeEncodeError:
        return
    response = client.post("/recommend", content=body, headers=JSON)
    assert response.status_code in {200, 400, 422}
    assert response.json()["request_id"]


def test_a_whole_number_may_be_written_with_a_fraction_of_nothing(client: TestClient) -> None:
    # To JSON, and to its schema language, 3.0 is the same number as 3.
    body = b'{"like": ["pin-1"], "k": 3.0, "limit_per": [{"key": "board", "max": 2.0}]}'
    answer = client.post("/recommend", content=body, headers=JSON)
    assert (answer.status_code, len(answer.json()["items"])) == (200, 3)
