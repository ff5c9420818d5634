"""The OpenAPI document, with the request body that the fast path reads by itself."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from service.api.schemas import PatchItemRequest, Problem, PutItemsRequest, RecommendRequest

_REFERENCE = "#/components/schemas/{model}"


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
        for model in (RecommendRequest, PutItemsRequest, PatchItemRequest, Problem):
            shape = model.model_json_schema(ref_template=_REFERENCE)
            schemas.update(shape.pop("$defs", {}))
            schemas[model.__name__] = shape
        app.openapi_schema = made
    return app.openapi_schema
