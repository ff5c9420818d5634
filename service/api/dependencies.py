"""Two-line ways to get at what the lifespan opened, and the one way to read a body."""

from http import HTTPStatus
from typing import Annotated

from fastapi import Depends
from starlette.requests import ClientDisconnect, Request

from service.api.errors import RequestRefused
from service.api.json_keys import has_duplicate_keys
from service.api.lifespan import Services


async def services(request: Request) -> Services:
    """What the lifespan opened. Not a plain function: the framework would run that in a thread."""
    found: Services = request.state.services
    return found


ServicesDep = Annotated[Services, Depends(services)]


async def read_json_body(request: Request, max_bytes: int) -> bytes:
    """Read a JSON body of at most `max_bytes`, without trusting Content-Length.

    Raises:
        RequestRefused: wrong media type, too large, an object with the same key twice, or a
            client that hung up.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise RequestRefused(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            "Send the body as application/json (curl: -H 'content-type: application/json').",
        )
    declared = request.headers.get("content-length", "0")
    if not declared.isdecimal() or int(declared) > max_bytes:
        raise _too_large(max_bytes)
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > max_bytes:
                raise _too_large(max_bytes)
    except ClientDisconnect:
        raise RequestRefused(
            HTTPStatus.REQUEST_TIMEOUT, "client_left", "The client hung up."
        ) from None
    if has_duplicate_keys(bytes(body)):
        raise RequestRefused(
            HTTPStatus.BAD_REQUEST,
            "duplicate_key",
            "An object in the body has the same key twice; say each thing once.",
        )
    return bytes(body)


def _too_large(max_bytes: int) -> RequestRefused:
    return RequestRefused(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        "body_too_large",
        f"A body may have {max_bytes} bytes.",
    )
