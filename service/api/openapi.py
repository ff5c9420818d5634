"""The OpenAPI document, with the request body that the fast path reads by itself."""

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from service.api.answer_schemas import Problem
from service.api.examples import ACCESS_PROBLEMS, PROTOCOL_PROBLEMS
from service.api.guarded_route import GuardedRoute, guarded
from service.api.item_schemas import PatchItemRequest, PutItemsRequest
from service.api.schemas import BatchRequest, RankRequest, RecommendRequest

_MODELS = (
    RecommendRequest, BatchRequest, RankRequest, PutItemsRequest, PatchItemRequest, Problem
)  # fmt: skip
_REFERENCE = "#/components/schemas/{model}"

_KEYS = {
    "key": {"type": "http", "scheme": "bearer", "description": "Where the service has keys."},
    "key_header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}


def document(app: FastAPI) -> dict[str, Any]:
    """Describe the application; made once, then kept on it."""
    if app.openapi_schema is None:
        made = get_openapi(
            title=app.title,
            version=app.version,
            description=app.description,
            routes=app.routes,
        )
        schemas = made.setdefault("components", {}).setdefault("schemas", {})
        for model in _MODELS:
            shape = model.model_json_schema(ref_template=_REFERENCE)
            schemas.update(shape.pop("$defs", {}))
            schemas[model.__name__] = shape
        made["components"]["securitySchemes"] = _KEYS
        # With the empty one a caller may come without a key.
        ways: list[dict[str, list[str]]] = [{name: []} for name in _KEYS]
        ways += [] if app.state.guard.exposed == "keys" else [{}]
        for operations in made["paths"].values():
            for operation in operations.values():
                _declare(operation, PROTOCOL_PROBLEMS)
        for route in guarded(app.routes):
            if route.include_in_schema and route.needed is not None:
                _declare_access(route, made["paths"][route.path_format], ways)
        app.openapi_schema = made
    return app.openapi_schema


def _declare_access(
    route: GuardedRoute, operations: dict[str, Any], ways: list[dict[str, list[str]]]
) -> None:
    for method in route.methods or ():
        operation = operations[method.lower()]
        operation["security"] = ways
        operation["x-scope"] = route.needed
        operation["description"] = (
            operation.get("description", "") + f" Needs scope `{route.needed}`."
        ).strip()
        _declare(operation, ACCESS_PROBLEMS)


def _declare(operation: dict[str, Any], problems: Mapping[int, dict[str, object]]) -> None:
    for status, described in problems.items():
        operation["responses"].setdefault(str(status), described)
