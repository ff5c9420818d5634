"""POST /recommend, many of them at once, a given list, and thin GET forms: one query each."""

import orjson
from fastapi import APIRouter
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response

from service.api.answer import answer, answer_together
from service.api.answer_schemas import BatchAnswer, RecommendAnswer
from service.api.caller import TIMEOUT_PARAMETER, Caller
from service.api.dependencies import ServicesDep, read_json_body
from service.api.errors import details_of, request_id_of
from service.api.examples import ANSWER, BATCH_ANSWER, PAGE_PROBLEMS, PROBLEMS
from service.api.finished import Finished
from service.api.front import CACHE_KEY, UNKNOWN
from service.api.guarded_route import GuardedRoute, requires
from service.api.http_cache import cache_control, etag_of, held_keys
from service.api.lifespan import Services
from service.api.parameters import SearchParameters, SimilarParameters, read_parameters
from service.api.question import Question
from service.api.render import compose
from service.api.schemas import BatchRequest, RankRequest, RecommendRequest
from service.errors import ItemNotFound, MagpieError
from service.types import ItemId

router = APIRouter(route_class=GuardedRoute, tags=["recommend"])

_ANSWERS = {200: {"model": RecommendAnswer, "content": ANSWER}, **PROBLEMS}
_PAGES = {**_ANSWERS, **PAGE_PROBLEMS}
_KEPT = {304: {"description": "The answer that `If-None-Match` names still holds."}, **_PAGES}
_HELD = {
    "name": "If-None-Match",
    "in": "header",
    "required": False,
    "schema": {"type": "string"},
    "description": "ETags of answers that you have kept.",
}


def _takes(model: str) -> dict[str, object]:
    """Describe a body that the route reads by itself."""
    schema = {"$ref": f"#/components/schemas/{model}"}
    body = {"required": True, "content": {"application/json": {"schema": schema}}}
    return {"parameters": [TIMEOUT_PARAMETER], "requestBody": body}


@router.post(
    "/recommend",
    summary="Recommend items for any mix of items and text",
    responses=_PAGES,  # type: ignore[arg-type]
    openapi_extra=_takes("RecommendRequest"),
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
    return await _respond(_question(RecommendRequest.model_validate_json(body)), request, services)


@router.post(
    "/recommend/batch",
    summary="Up to 100 requests in one, with one retrieval for all",
    responses={200: {"model": BatchAnswer, "content": BATCH_ANSWER}, **PROBLEMS},  # type: ignore[dict-item]
    openapi_extra=_takes("BatchRequest"),
)
@requires("read")
async def recommend_batch(request: Request, services: ServicesDep) -> Response:
    """Each entry of `answers` is what POST /recommend would answer, or a problem of its own."""
    caller = Caller.of(request, services.settings.request_timeout_s, services.deadlines)
    body = await read_json_body(request, services.settings.max_body_bytes)
    asked = BatchRequest.model_validate_json(body).entries()
    # For a key's rate it is as many requests as it holds; the first was counted on arrival.
    await services.guard.charge(request.scope, len(asked) - 1)
    questions = [_question(each) for each in asked if isinstance(each, RecommendRequest)]
    found, timings = await answer_together(questions, services, caller)
    answers = iter(found)
    parts = [
        _entry(each if isinstance(each, ValidationError) else next(answers), request_id_of(request))
        for each in asked
    ]
    content = b'{"request_id":"%b","answers":[%b]}' % (
        request_id_of(request).encode("ascii"),
        b",".join(parts),
    )
    stages = ", ".join(f"{name};dur={spent:.3f}" for name, spent in timings.items())
    headers = {"server-timing": stages, "cache-control": "no-store"}
    return Response(content, headers=headers, media_type="application/json")


@router.post(
    "/rank",
    summary="Order a list of items that you have",
    responses=_ANSWERS,  # type: ignore[arg-type]
    openapi_extra=_takes("RankRequest"),
)
@requires("read")
async def rank(request: Request, services: ServicesDep) -> Response:
    """Order `ids` as /recommend would, seeds among them included.

    Unknown and hidden ids are left out and listed in `missing`. Without any known seed the order
    stays as it is, and `source` says `fallback`.
    """
    body = await read_json_body(request, services.settings.max_body_bytes)
    question = Question(RankRequest.model_validate_json(body).to_query())
    return await _respond(question, request, services)


@router.get(
    "/items/{item_id:path}/similar",
    summary="Items similar to one item",
    responses=_KEPT,  # type: ignore[arg-type]
    openapi_extra={"parameters": [*SimilarParameters.documented(), TIMEOUT_PARAMETER, _HELD]},
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
    question = Question(parameters.to_query(ItemId(item_id)), parameters.cursor)
    return await _respond(question, request, services)


@router.get(
    "/search",
    summary="Items for a text",
    responses=_KEPT,  # type: ignore[arg-type]
    openapi_extra={"parameters": [*SearchParameters.documented(), TIMEOUT_PARAMETER, _HELD]},
)
@requires("read")
async def search(request: Request, services: ServicesDep) -> Response:
    """Items whose meaning is nearest to a text."""
    parameters = read_parameters(SearchParameters, request)
    return await _respond(Question(parameters.to_query(), parameters.cursor), request, services)


def _question(asked: RecommendRequest) -> Question:
    return Question(asked.to_query(), asked.cursor)


async def _respond(question: Question, request: Request, services: Services) -> Response:
    caller = Caller.of(request, services.settings.request_timeout_s, services.deadlines)
    is_get = request.method == "GET"
    held = held_keys(request.headers.get("if-none-match", "").encode("latin-1")) if is_get else ()
    found = await answer(question, services, caller, held)
    request.scope[CACHE_KEY] = found.key
    headers = [(b"server-timing", found.server_timing().encode("ascii"))]
    if is_get:
        headers.append((b"etag", etag_of(found.key)))
        headers.append((b"cache-control", cache_control(services.settings.http_cache_s)))
    else:
        headers.append((b"cache-control", b"no-store"))
    return Finished(304, headers) if found.body is None else Finished(200, headers, found.body)


def _entry(found: bytes | MagpieError | ValidationError, request_id: str) -> bytes:
    if isinstance(found, bytes):
        return compose(found, request_id.encode("ascii"), None)[0]
    details = details_of(found, request_id)
    if details is None:
        raise found
    return orjson.dumps({"problem": details})
