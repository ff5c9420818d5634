"""Changing items over HTTP: what is accepted is in the next answer, what is not changes nothing."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from starlette.testclient import TestClient

from service.api.app import create_app
from service.index.layout import CHANGES
from service.settings import Settings

NEW = {"id": "new/one", "attributes": {"title": "sourdough rye bread", "price": 4, "tags": ["rye"]}}
JSON = {"content-type": "application/json"}


@pytest.fixture
def own(pins_indexes: Path, toy_models: Path, tmp_path: Path) -> Settings:
    """Settings of a service that takes changes, over its own copy of the pins."""
    shutil.copytree(pins_indexes, tmp_path / "indexes")
    return Settings(
        models_dir=toy_models,
        indexes_dir=tmp_path / "indexes",
        writable=True,
        fresh_items_max=20,
        max_body_bytes=1 << 20,
    )


@pytest.fixture
def writer(own: Settings) -> Iterator[TestClient]:
    with TestClient(create_app(own), raise_server_exceptions=False) as client:
        yield client


def put(client: TestClient, *items: dict[str, Any]) -> Any:
    return client.put("/items", json={"items": list(items)})


def found(client: TestClient, **query: Any) -> list[str]:
    response = client.post("/recommend", json=query)
    assert response.status_code == 200, response.text
    return [item["id"] for item in response.json()["items"]]


def refused(response: Any, status: int, code: str) -> Any:
    assert (response.status_code, response.json().get("code")) == (status, code), response.text
    return response.json()


def test_an_item_that_was_put_is_in_the_next_answer_of_every_form(writer: TestClient) -> None:
    # Asked before, so that a cache that lies would be found out.
    assert found(writer, text="sourdough rye bread", k=1) != ["new/one"]
    response = put(writer, NEW)
    assert response.status_code == 200
    assert (response.json()["created"], response.json()["changed"]) == (1, 0)
    assert found(writer, text="sourdough rye bread", k=1) == ["new/one"]
    assert found(writer, k=1) == ["new/one"]
    assert found(writer, k=3, filter={"must": [{"key": "tags", "match": {"value": "rye"}}]})
    similar = writer.get("/items/new/one/similar", params={"k": 2, "explain": True})
    assert similar.json()["items"][0]["because"] == [{"id": "new/one", "share": 1.0}]
    searched = writer.get("/search", params={"q": "sourdough rye bread", "k": 1}).json()
    assert searched["items"][0]["id"] == "new/one"
    assert searched["items"][0]["fields"] == NEW["attributes"]


def test_a_deleted_item_is_in_no_answer_not_even_a_cached_one(writer: TestClient) -> None:
    asked = {"like": ["pin-1"], "k": 3}
    first = found(writer, **asked)
    assert found(writer, **asked) == first
    response = writer.delete(f"/items/{first[0]}")
    assert (response.status_code, response.json()["changed"]) == (200, 1)
    assert first[0] not in found(writer, **asked)
    assert first[0] not in found(writer, k=283)
    refused(writer.get(f"/items/{first[0]}"), 404, "item_not_found")
    refused(writer.get(f"/items/{first[0]}/similar"), 404, "item_not_found")
    refused(writer.delete(f"/items/{first[0]}"), 404, "item_not_found")
    missing = writer.post("/recommend", json={"like": [first[0]], "k": 1}).json()["missing"]
    assert missing == [first[0]]


def test_a_patch_changes_what_it_names_and_hides_at_once(writer: TestClient) -> None:
    before = writer.get("/items/pin-1").json()
    asked = {"like": ["pin-2"], "k": 300}
    assert "pin-1" in found(writer, **asked)
    patched = {"price": 7.5, "hidden": True, "language": None}
    assert writer.patch("/items/pin-1", json={"attributes": patched}).status_code == 200
    assert "pin-1" not in found(writer, **asked)
    after = writer.get("/items/pin-1").json()
    expected = {**before["attributes"], "price": 7.5, "hidden": True}
    del expected["language"]
    assert after["attributes"] == expected
    assert (after["is_shown"], after["is_fresh"], after["text"]) == (False, True, before["text"])
    # A hidden item still has neighbours, for the page of what is sold out.
    assert writer.get("/items/pin-1/similar").status_code == 200
    writer.patch("/items/pin-1", json={"attributes": {"hidden": False}})
    assert "pin-1" in found(writer, **asked)
    writer.patch("/items/pin-1", json={"attributes": {"available_until": "2020-01-01"}})
    assert "pin-1" not in found(writer, **asked)


def test_changes_are_there_after_a_restart_and_in_another_process(
    writer: TestClient, own: Settings
) -> None:
    put(writer, NEW)
    writer.delete("/items/pin-1")
    with TestClient(create_app(own)) as again:
        assert again.get("/items/new/one").json()["attributes"] == NEW["attributes"]
        assert again.get("/items/pin-1").status_code == 404
        assert found(again, text="sourdough rye bread", k=1) == ["new/one"]


def test_without_permission_nothing_is_read_and_nothing_changed(
    client: TestClient, pins_indexes: Path
) -> None:
    for response in (
        put(client, NEW),
        client.put("/items", content=b"not json", headers=JSON),
        client.patch("/items/pin-1", json={"attributes": {"price": 1}}),
        client.delete("/items/pin-1"),
        client.delete("/items/no-such-item"),
    ):
        problem = refused(response, 403, "read_only")
        assert "MAGPIE_WRITABLE=true" in problem["detail"]
    assert not (pins_indexes / "pins" / CHANGES).exists()
    assert client.get("/items/pin-1").json()["is_fresh"] is False


def test_one_bad_item_refuses_all_and_says_which(writer: TestClient) -> None:
    bad = {"id": "bad", "attributes": {"price": 3}}
    problem = refused(put(writer, NEW, bad, NEW), 422, "invalid_item")
    assert [each["where"] for each in problem["errors"]] == ["items.1", "items.2"]
    assert "missing text" in problem["errors"][0]["what"]
    assert writer.get("/items/new/one").status_code == 404


def test_a_request_may_hold_a_thousand_items_and_a_service_so_many(writer: TestClient) -> None:
    many = [{"id": f"n{n}", "attributes": {"title": "bread"}} for n in range(1001)]
    refused(put(writer, *many), 422, "too_many_items")
    problem = refused(put(writer, *many[:1000]), 507, "too_many_changes")
    assert "new version" in problem["detail"]
    assert writer.get("/items/n0").status_code == 404
    assert put(writer, *many[:20]).status_code == 200
    assert writer.delete("/items/n0").status_code == 200


CANARY = "canary-9f3b"


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "invalid_json"),
        (b'{"items": []}', 422, "invalid_request"),
        (b'{"items": [{"id": "a"}]}', 422, "invalid_request"),
        (b'{"items": [{"id": "", "attributes": {"title": "x"}}]}', 422, "invalid_request"),
        (b'{"items": [{"id": 7, "attributes": {"title": "x"}}]}', 422, "invalid_request"),
        (b'{"items": [{"id": "a\\nb", "attributes": {"title": "x"}}]}', 422, "invalid_item"),
        (b'{"items": [{"id": "a", "attributes": {"canary-9f3b": {}}}]}', 422, "invalid_request"),
        (b'{"items": [{"id": "a", "attributes": {"title": NaN}}]}', 422, "invalid_request"),
        (b'{"items": [{"id": "a", "attributes": {"t": 1e999}}]}', 422, "invalid_request"),
        (
            b'{"items": [{"id": "a", "attributes": {"title": 9223372036854775808}}]}',
            422,
            "invalid_item",
        ),
        (b'{"items": [{"id": "a", "attributes": {"": 1}}]}', 422, "invalid_request"),
        (b'{"items": [{"id": "a", "attributes": {"t": "\\ud800"}}]}', 400, "invalid_json"),
        (b'{"items": [{"id": "a", "attributes": {"title": "a\\u0000"}}]}', 422, "invalid_item"),
        (b'{"items": [{"id": "a", "attributes": {"t": 1, "t": 2}}]}', 400, "duplicate_key"),
        (b'{"items": [], "canary-9f3b": 1}', 422, "invalid_request"),
        (b"[" * 100_000, 400, "invalid_json"),
        (b'{"items": "' + b"x" * (1 << 20) + b'"}', 413, "body_too_large"),
    ],
)
def test_a_bad_body_is_a_clear_refusal_that_repeats_nothing(
    writer: TestClient, body: bytes, status: int, code: str
) -> None:
    response = writer.put("/items", content=body, headers=JSON)
    refused(response, status, code)
    assert CANARY not in response.text


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"attributes": {}}, "invalid_request"),
        (
            {"attributes": dict.fromkeys(["title", "board", "category", "tags"])},
            "invalid_item",
        ),
        ({"attributes": {"id": "other"}}, "invalid_item"),
        ({"attributes": {"available_until": "soon"}}, "invalid_item"),
        ({"attributes": {CANARY: {}}}, "invalid_request"),
        ({"attributes": {f"{CANARY}.\x05": 1}}, "invalid_request"),
    ],
)
def test_a_bad_patch_is_refused(writer: TestClient, body: dict[str, Any], code: str) -> None:
    response = writer.patch("/items/pin-1", json=body)
    refused(response, 422, code)
    assert CANARY not in response.text
    assert writer.get("/items/pin-1").json()["is_fresh"] is False
    refused(
        writer.patch("/items/no-such", json={"attributes": {"price": 1}}), 404, "item_not_found"
    )


def test_the_document_describes_the_routes_and_its_examples_work(writer: TestClient) -> None:
    document = writer.get("/openapi.json").json()
    components = {"components": document["components"]}
    for path, method in (("/items", "put"), ("/items/{item_id}", "patch")):
        operation = document["paths"][path][method]
        assert "MAGPIE_WRITABLE=true" in operation["description"]
        assert {"403", "422", "503", "507"} <= operation["responses"].keys()
    example = document["components"]["schemas"]["PutItemsRequest"]["examples"][0]
    jsonschema.validate(example, {"$ref": "#/components/schemas/PutItemsRequest", **components})
    response = writer.put("/items", json=example)
    assert response.status_code == 200, response.text
    jsonschema.validate(
        response.json(), {"$ref": "#/components/schemas/AcceptedAnswer", **components}
    )
    item = writer.get(f"/items/{example['items'][0]['id']}").json()
    jsonschema.validate(item, {"$ref": "#/components/schemas/ItemAnswer", **components})
    example = document["components"]["schemas"]["PatchItemRequest"]["examples"][0]
    assert writer.patch("/items/pin-9001", json=example).status_code == 200
