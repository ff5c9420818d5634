"""POST /recommend and its thin GET forms: three ways to write one query."""

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from service.api.answer import answer
from service.api.caller import TIMEOUT_PARAMETER, Caller
from service.api.dependencies import ServicesDep, read_json_body
from service.api.examples import ANSWER, PROBLEMS
from service.api.front import CACHE_KEY, UNKNOWN
from service.api.guarded_route import GuardedRoute, requires
from service.api.lifespan import Services
from service.api.parameters import SearchParameters, SimilarParameters, read_parameters
from service.api.schemas import RecommendAnswer, RecommendRequest
from service.errors import ItemNotFound
from service.types import ItemId, Query

router = APIRouter(route_class=GuardedRoute, tags=["recommend"])

_ANSWERS = {200: {"model": RecommendAnswer, "content": ANSWER}, **PROBLEMS}


@router.post(
    "/recommend",
    summary="Recommend items for any mix of items and text",
    responses=_ANSWERS,  # type: ignore[arg-type]
    openapi_extra={
        "parameters": [TIMEOUT_PARAMETER],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": {"$ref": "#/components/schemas/RecommendRequest"}}
            },
        },
    },
)
@requires("read")
async def recommend(request: Request, services: ServicesDep) -> Response:
    """Rank items that are like `like` and `text`, unlike `dislike`, and pass `filter`.

    Unknown ids are skipped and listed in `missing`. Without any known seed the newest items
    answer, and `source` says `fallback`.
    """
    # The body is validated from its bytes: what pydantic's own JSON reader refuses (NaN, lone
    # surrogates, depth) must not first pass through a more lenient one.
    body = await read_json_body(request, services.settings.max_body_bytes)
    query = RecommendRequest.model_validate_json(body).to_query()
    return await _respond(query, request, services)


@router.get(
    "/items/{item_id:path}/similar",
    summary="Items similar to one item",
    responses=_ANSWERS,  # type: ignore[arg-type]
    openapi_extra={"parameters": [*SimilarParameters.documented(), TIMEOUT_PARAMETER]},
)
@requires("read")
async def similar(item_id: str, request: Request, services: ServicesDep) -> Response:
    """The related items of an item page. An unknown id is a 404 here, as it is the resource."""
    parameters = read_parameters(SimilarParameters, request)
    if services.live.current.shelf.row(ItemId(item_id)) is None:
        error = ItemNotFound(
            "The index does not know this item.", "It may be new: rebuild, or check the id."
        )
        request.scope[UNKNOWN] = str(error)
        raise error
    return await _respond(parameters.to_query(ItemId(item_id)), request, services)


@router.get(
    "/search",
    summary="Items for a text",
    responses=_ANSWERS,  # type: ignore[arg-type]
    openapi_extra={"parameters": [*SearchParameters.documented(), TIMEOUT_PARAMETER]},
)
@requires("read")
async def search(request: Request, services: ServicesDep) -> Response:
    """Items whose meaning is nearest to a text."""
    return await _respond(read_parameters(SearchParameters, request).to_query(), request, services)


async def _respond(query: Query, request: Request, services: Services) -> Response:
    caller = Caller.of(request, services.settings.request_timeout_s)
    found = await answer(query, services, caller)
    request.scope[CACHE_KEY] = found.key
    headers = {"server-timing": found.server_timing(), "cache-control": "no-store"}
    return Response(found.body, headers=headers, media_type="application/json")
