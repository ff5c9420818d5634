"""The document is what clients are generated from, so its examples have to work."""

from typing import Any

import jsonschema
import pytest
from starlette.testclient import TestClient

from service.api.answer_schemas import RecommendAnswer


def resolved(document: dict[str, Any], name: str) -> dict[str, Any]:
    """A component schema that can stand alone."""
    return {"$ref": f"#/components/schemas/{name}", "components": document["components"]}


def test_every_request_example_is_answered_as_the_document_says(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    examples = document["components"]["schemas"]["RecommendRequest"]["examples"]
    assert len(examples) >= 2
    for example in examples:
        jsonschema.validate(example, resolved(document, "RecommendRequest"))
        response = client.post("/recommend", json=example)
        assert response.status_code == 200, response.text
        jsonschema.validate(response.json(), resolved(document, "RecommendAnswer"))
        RecommendAnswer.model_validate(response.json())


@pytest.mark.parametrize(
    ("path", "asked", "answered"),
    [
        ("/recommend/batch", "BatchRequest", "BatchAnswer"),
        ("/rank", "RankRequest", "RecommendAnswer"),
    ],
)
def test_examples_of_the_other_forms_are_answered_as_the_document_says(
    client: TestClient, path: str, asked: str, answered: str
) -> None:
    document = client.get("/openapi.json").json()
    for example in document["components"]["schemas"][asked]["examples"]:
        jsonschema.validate(example, resolved(document, asked))
        response = client.post(path, json=example)
        assert response.status_code == 200, response.text
        jsonschema.validate(response.json(), resolved(document, answered))
        for entry in response.json().get("answers", ()):
            assert "problem" not in entry


def test_every_answer_example_has_the_form_it_stands_for(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    content = document["paths"]["/recommend/batch"]["post"]["responses"]["200"]["content"]
    jsonschema.validate(content["application/json"]["example"], resolved(document, "BatchAnswer"))


def test_the_answer_example_has_the_form_it_stands_for(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    content = document["paths"]["/recommend"]["post"]["responses"]["200"]["content"]
    example = content["application/json"]["example"]
    jsonschema.validate(example, resolved(document, "RecommendAnswer"))


def test_every_reference_in_the_document_leads_somewhere(client: TestClient) -> None:
    document = client.get("/openapi.json").json()

    def references(node: Any) -> list[str]:
        if isinstance(node, dict):
            own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
            return own + [each for value in node.values() for each in references(value)]
        if isinstance(node, list):
            return [each for value in node for each in references(value)]
        return []

    found = references(document)
    assert found
    for reference in found:
        assert reference.removeprefix("#/components/schemas/") in document["components"]["schemas"]


def test_problems_have_the_documented_form(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    for response in (
        client.post("/recommend", json={"k": 0}),
        client.get("/items/nothing/similar"),
        client.get("/nowhere"),
    ):
        jsonschema.validate(response.json(), resolved(document, "Problem"))


@pytest.mark.parametrize(
    ("condition", "is_allowed"),
    [
        ({"match": {"value": 1}}, True),
        ({"match": {"any": [1, "a"]}}, True),
        ({"match": {"value": 1}, "range": None}, True),
        ({"range": {"gt": None, "lt": 3}}, True),
        ({"match": {"value": 1, "any": [1]}}, False),
        ({"match": {"value": None}}, False),
        ({"match": {"value": 1}, "range": {"gt": 1}}, False),
        ({"range": {}}, False),
        ({"range": {"gt": None}}, False),
        ({}, False),
    ],
)
def test_the_document_tells_which_conditions_are_one(
    client: TestClient, condition: dict[str, Any], is_allowed: bool
) -> None:
    document = client.get("/openapi.json").json()
    schema = jsonschema.Draft202012Validator(resolved(document, "RecommendRequest"))
    filtered = {"filter": {"must": [{"key": "price", **condition}]}}
    boosted = {"boost": [{"filter": filtered["filter"], "weight": 1}]}
    for request in (filtered, boosted):
        assert schema.is_valid(request) == is_allowed
        assert (client.post("/recommend", json=request).status_code == 200) == is_allowed


def test_an_empty_filter_is_none_but_boosts_nothing(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    schema = jsonschema.Draft202012Validator(resolved(document, "RecommendRequest"))
    for request, is_allowed in (
        ({"filter": {"must": []}}, True),
        ({"boost": [{"filter": {"must": []}, "weight": 1}]}, False),
        ({"promoted": {"filter": {}, "share": 0.5}}, False),
    ):
        assert schema.is_valid(request) == is_allowed
        assert (client.post("/recommend", json=request).status_code == 200) == is_allowed
