"""Items one by one: look at them, put, patch and delete them while the index is served."""

import time
from http import HTTPStatus

import numpy as np
import orjson
from fastapi import APIRouter
from starlette.convertors import PathConvertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import Response

from service.api.dependencies import ServicesDep, read_json_body
from service.api.errors import RequestRefused, request_id_of
from service.api.examples import PROBLEMS, WRITE_PROBLEMS
from service.api.guarded_route import GuardedRoute, requires
from service.api.item_schemas import (
    ITEMS_MAX,
    AcceptedAnswer,
    ItemAnswer,
    PatchItemRequest,
    PutItemsRequest,
)
from service.api.lifespan import Services
from service.errors import ItemNotFound
from service.index.changes import Change, Delete
from service.index.edits import Edits, edit_attributes, edit_items
from service.index.live import Serving
from service.types import ItemId, Vectors


class _ItemConvertor(PathConvertor):
    """An id as an address can hold it: with slashes, but not another route's ending.

    Without this a change of `/items/a/similar`, which is no item, would change one of that id.
    """

    regex = ".*(?<!/similar)"


register_url_convertor("item", _ItemConvertor())

router = APIRouter(route_class=GuardedRoute, tags=["items"])

# Texts encoded in one go: a search that arrives meanwhile does not wait for all of a request's.
_TEXTS_AT_ONCE = 4
_CLOSED = " Closed unless the service runs with MAGPIE_WRITABLE=true."


@router.get(
    "/items/{item_id:item}",
    summary="One item as it is now",
    responses={200: {"model": ItemAnswer}, 404: PROBLEMS[404]},
)
@requires("read")
async def get_item(item_id: str, request: Request, services: ServicesDep) -> Response:
    """Its attributes and text, and whether it may be in answers now."""
    shelf = services.live.current.shelf
    row = shelf.row(ItemId(item_id))
    if row is None:
        raise ItemNotFound("There is no such item.", "It may have been deleted.")
    return _json(
        {
            "request_id": request_id_of(request),
            "index": shelf.snapshot.name,
            "id": shelf.id(row),
            "text": shelf.item(row).text,
            "attributes": shelf.attributes(row),
            "is_shown": shelf.is_shown(row, time.time()),
            "is_fresh": row >= len(shelf.snapshot.table),
        }
    )


@router.put(
    "/items",
    summary="Add or replace up to 1,000 items",
    description="Stored on the disk before the answer, and in every answer of every process "
    "within a second. The next build takes them in." + _CLOSED,
    responses={200: {"model": AcceptedAnswer}, **WRITE_PROBLEMS},  # type: ignore[dict-item]
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": {"$ref": "#/components/schemas/PutItemsRequest"}}
            },
        }
    },
)
@requires("write")
async def put_items(request: Request, services: ServicesDep) -> Response:
    """Accept all items of a request, or none."""
    _check_writable(services)
    body = await read_json_body(request, services.settings.max_body_bytes)
    wanted = PutItemsRequest.model_validate_json(body).items
    if len(wanted) > ITEMS_MAX:
        raise RequestRefused(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "too_many_items",
            f"A request may put {ITEMS_MAX} items; send several.",
        )
    serving = services.live.current
    given = [(each.id, each.attributes) for each in wanted]
    # A thousand of them are too much work for the thread that all requests share.
    edits = await services.commits.run(lambda: edit_items(given, serving.shelf))
    return await _commit(await _changes(edits, serving, services), request, services)


@router.patch(
    "/items/{item_id:item}",
    summary="Change some attributes of an item",
    description="Encoded again only if an attribute that its text shows is among them; price, "
    "stock and `hidden` cost one write." + _CLOSED,
    responses={200: {"model": AcceptedAnswer}, **WRITE_PROBLEMS},  # type: ignore[dict-item]
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": {"$ref": "#/components/schemas/PatchItemRequest"}}
            },
        }
    },
)
@requires("write")
async def patch_item(item_id: str, request: Request, services: ServicesDep) -> Response:
    """Merge attributes into an item; null removes one."""
    _check_writable(services)
    body = await read_json_body(request, services.settings.max_body_bytes)
    attributes = PatchItemRequest.model_validate_json(body).attributes
    serving = services.live.current
    edits = edit_attributes(ItemId(item_id), attributes, serving.shelf)
    return await _commit(await _changes(edits, serving, services), request, services)


@router.delete(
    "/items/{item_id:item}",
    summary="Delete an item",
    description="Gone from every answer of this process when it is acknowledged, cached ones "
    "included, and of every other within a second." + _CLOSED,
    responses={200: {"model": AcceptedAnswer}, **WRITE_PROBLEMS},  # type: ignore[dict-item]
)
@requires("write")
async def delete_item(item_id: str, request: Request, services: ServicesDep) -> Response:
    """Delete an item; one that is not there is a 404.

    Later builds leave it out too, until their source came without it once or it is put again.
    """
    _check_writable(services)
    return await _commit([Delete(0, ItemId(item_id))], request, services)


def _check_writable(services: Services) -> None:
    if not services.settings.writable:
        raise RequestRefused(
            HTTPStatus.FORBIDDEN,
            "read_only",
            "This service takes no changes. Start it with MAGPIE_WRITABLE=true, where nobody but "
            "you can reach it.",
        )


async def _changes(edits: Edits, serving: Serving, services: Services) -> list[Change]:
    texts = edits.texts
    vectors = np.empty((len(texts), serving.encoder.dim), np.float32)
    for start in range(0, len(texts), _TEXTS_AT_ONCE):
        some = texts[start : start + _TEXTS_AT_ONCE]
        vectors[start : start + len(some)] = await _encode(some, serving, services)
    return edits.changes(vectors)


async def _encode(texts: list[str], serving: Serving, services: Services) -> Vectors:
    return await services.encoding.run(lambda: serving.encoder.encode_items(texts))


async def _commit(changes: list[Change], request: Request, services: Services) -> Response:
    accepted = await services.commits.run(lambda: services.live.commit(changes))
    return _json(
        {
            "request_id": request_id_of(request),
            "index": services.live.current.snapshot.name,
            "sequence": accepted.sequence,
            "created": accepted.created,
            "changed": accepted.changed,
        }
    )


def _json(body: dict[str, object]) -> Response:
    headers = {"cache-control": "no-store"}
    return Response(orjson.dumps(body), headers=headers, media_type="application/json")
