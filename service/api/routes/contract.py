"""The contract that clients are generated from."""

import orjson
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from service.api.guarded_route import GuardedRoute, requires

router = APIRouter(route_class=GuardedRoute, include_in_schema=False)


@router.get("/openapi.json")
@requires("read")
async def openapi(request: Request) -> Response:
    """The OpenAPI document."""
    return Response(orjson.dumps(request.app.openapi()), media_type="application/json")
