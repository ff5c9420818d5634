"""A service over vectors that a team brought along: no model, so no search by text."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from starlette.testclient import TestClient

from service.api.app import create_app
from service.index.publish import publish
from service.pipelines.build_index import build
from service.pipelines.external_vectors import ExternalVectors
from service.pipelines.quickstart import SAMPLE_COLUMNS
from service.settings import Settings

NOW = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, pins_path: Path) -> Iterator[TestClient]:
    tmp_path = tmp_path_factory.mktemp("external")
    pins = len(pins_path.read_bytes().splitlines())
    vectors = np.random.default_rng(1).standard_normal((pins, 24)).astype(np.float32)
    np.save(tmp_path / "vectors.npy", vectors)
    version = build(
        pins_path,
        SAMPLE_COLUMNS,
        name="pins",
        models=tmp_path,
        indexes=tmp_path / "indexes",
        model_id="none",
        now=NOW,
        external=ExternalVectors(tmp_path / "vectors.npy", "two-tower"),
    ).version
    publish(tmp_path / "indexes", "pins", version, now=NOW)
    settings = Settings(
        models_dir=tmp_path / "models", indexes_dir=tmp_path / "indexes", writable=True
    )
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        yield client


def test_similar_items_are_recommended(client: TestClient) -> None:
    answer = client.post("/recommend", json={"like": ["pin-400"], "k": 5})
    assert answer.status_code == 200
    assert len(answer.json()["items"]) == 5
    assert answer.json()["model"] == "external@two-tower"


@pytest.mark.parametrize("body", [{"text": "tea"}, {"text": "tea", "like": ["pin-400"]}])
def test_text_is_refused_with_a_code_of_its_own(
    client: TestClient, body: dict[str, object]
) -> None:
    answer = client.post("/recommend", json=body)
    assert answer.status_code == 422
    assert answer.json()["code"] == "text_search_unavailable"
    assert "external@two-tower" in answer.json()["detail"]


def test_new_item_whose_text_nothing_can_encode_is_refused(client: TestClient) -> None:
    answer = client.put("/items", json={"items": [{"id": "new", "attributes": {"title": "tea"}}]})
    assert answer.status_code == 422
    assert answer.json()["code"] == "text_search_unavailable"


def test_attributes_and_deletions_need_no_model(client: TestClient) -> None:
    assert client.patch("/items/pin-295", json={"attributes": {"price": 3}}).status_code == 200
    assert client.get("/items/pin-295").json()["attributes"]["price"] == 3
    assert client.delete("/items/pin-295").status_code == 200
    assert client.get("/items/pin-295").status_code == 404
