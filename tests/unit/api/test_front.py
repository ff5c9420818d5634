"""The shortcut for repeated requests gives what the long way gives, and never more."""

from typing import Any

import pytest
from starlette.testclient import TestClient

REQUESTS: list[tuple[str, str, str | None]] = [
    ("POST", "/recommend", '{"like": ["pin-301"], "k": 4}'),
    ("GET", "/items/pin-302/similar?k=4", None),
    ("GET", "/search?q=a+shortcut+over+the+hills&k=4", None),
]


def send(client: TestClient, request: tuple[str, str, str | None], **headers: str) -> Any:
    method, path, body = request
    if body is not None:
        headers = {"content-type": "application/json", **headers}
    return client.request(method, path, content=body, headers=headers)


def without_id(response: Any) -> dict[str, Any]:
    return {key: value for key, value in response.json().items() if key != "request_id"}


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda each: each[1])
def test_a_repeat_gets_the_same_answer_under_its_own_id(
    client: TestClient, request_: tuple[str, str, str | None]
) -> None:
    first = send(client, request_)
    again = send(client, request_, **{"x-request-id": "again-1"})
    assert 'desc="miss"' in first.headers["server-timing"]
    assert 'desc="local"' in again.headers["server-timing"]
    assert again.json()["request_id"] == again.headers["x-request-id"] == "again-1"
    assert without_id(first) == without_id(again)
    shared = {"content-type", "cache-control", "x-content-type-options"}
    assert {k: first.headers[k] for k in shared} == {k: again.headers[k] for k in shared}


def test_repeats_are_counted_by_route_like_the_rest(client: TestClient) -> None:
    def counted() -> float:
        return sum(
            float(line.rpartition(" ")[2])
            for line in client.get("/metrics").text.splitlines()
            if line.startswith("http_server_request_duration_seconds_count") and "similar" in line
        )

    request = ("GET", "/items/pin-303/similar?k=2", None)
    before = counted()
    for _ in range(3):
        send(client, request)
    assert counted() == before + 3


def test_what_is_refused_is_refused_every_time(client: TestClient) -> None:
    for _ in range(2):
        assert send(client, ("POST", "/recommend", '{"k": 0}')).status_code == 422
        assert send(client, ("GET", "/items/no-such/similar", None)).status_code == 404


def test_a_repeat_of_another_type_or_with_a_bad_timeout_is_still_refused(
    client: TestClient,
) -> None:
    request = ("POST", "/recommend", '{"like": ["pin-304"], "k": 2}')
    assert send(client, request).status_code == 200
    assert send(client, request, **{"content-type": "text/plain"}).status_code == 415
    assert send(client, request, **{"Request-Timeout-Ms": "soon"}).status_code == 400
