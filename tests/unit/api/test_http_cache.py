"""The GET forms may be kept, and a question whether they still hold costs nothing."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from service.api.app import create_app
from service.settings import Settings
from tests.conftest import build_pins

PATHS = ["/items/pin-61/similar?k=3", "/search?q=kept+for+later&k=3"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("asked_before", [1, 2])
def test_what_is_held_is_confirmed_without_a_body(
    client: TestClient, path: str, asked_before: int
) -> None:
    # The second time the shortcut for repeats answers; it must say the same.
    for _ in range(asked_before):
        first = client.get(path)
    assert first.status_code == 200
    assert first.headers["cache-control"] == "private, no-cache"
    etag = first.headers["etag"]
    again = client.get(path, headers={"if-none-match": f'"other", {etag}'})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == etag
    assert again.headers["cache-control"] == "private, no-cache"


@pytest.mark.parametrize("path", PATHS)
def test_what_is_not_held_is_sent(client: TestClient, path: str) -> None:
    other = client.get(f"{path}&diversity=0.1").headers["etag"]
    for _ in range(2):
        for tag in (other, '"no tag of ours"', "*", ""):
            assert client.get(path, headers={"if-none-match": tag}).status_code == 200


def test_posts_are_not_kept(client: TestClient) -> None:
    for _ in range(2):
        response = client.post("/recommend", json={"like": ["pin-62"], "k": 2})
        assert response.headers["cache-control"] == "no-store"
        assert "etag" not in response.headers


def test_a_change_makes_another_tag_and_the_time_to_keep_can_be_set(
    tmp_path: Path, pins_path: Path, toy_models: Path
) -> None:
    build_pins(pins_path, toy_models, tmp_path, now=datetime(2026, 11, 1, 12, 0, tzinfo=UTC))
    settings = Settings(models_dir=toy_models, indexes_dir=tmp_path, writable=True, http_cache_s=30)
    with TestClient(create_app(settings)) as client:
        before = client.get(PATHS[0])
        assert before.headers["cache-control"] == "private, max-age=30"
        gone = before.json()["items"][0]["id"]
        assert client.delete(f"/items/{gone}").status_code == 200
        after = client.get(PATHS[0], headers={"if-none-match": before.headers["etag"]})
        assert after.status_code == 200
        assert gone not in [item["id"] for item in after.json()["items"]]
