"""Two-line ways to get at what the lifespan opened, and the one way to read a body."""

from http import HTTPStatus
from typing import Annotated, Final

from fastapi import Depends
from starlette.requests import Request
from starlette.types import Receive

from service.api.errors import RequestRefused
from service.api.json_keys import has_duplicate_keys
from service.api.lifespan import Services

_JSON: Final = b"application/json"


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
    media_type, declared = b"", b"0"
    # As they lie in the scope: to make them a mapping of texts costs more than all that follows.
    for name, value in request.scope["headers"]:
        if name == b"content-type" and not media_type:
            media_type = value
        elif name == b"content-length":
            declared = value
    if media_type != _JSON and media_type.partition(b";")[0].strip().lower() != _JSON:
        raise RequestRefused(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            "Send the body as application/json (curl: -H 'content-type: application/json').",
        )
    if not declared.isdigit() or int(declared) > max_bytes:
        raise _too_large(max_bytes)
    body = await _whole(request.receive, max_bytes)
    if has_duplicate_keys(body):
        raise RequestRefused(
            HTTPStatus.BAD_REQUEST,
            "duplicate_key",
            "An object in the body has the same key twice; say each thing once.",
        )
    return body


async def _whole(receive: Receive, max_bytes: int) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise RequestRefused(HTTPStatus.REQUEST_TIMEOUT, "client_left", "The client hung up.")
        piece: bytes = message.get("body", b"")
        if len(body) + len(piece) > max_bytes:
            raise _too_large(max_bytes)
        if not message.get("more_body", False):
            return bytes(body) + piece if body else piece
        body += piece


def _too_large(max_bytes: int) -> RequestRefused:
    return RequestRefused(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        "body_too_large",
        f"A body may have {max_bytes} bytes.",
    )
