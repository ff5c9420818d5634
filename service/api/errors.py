"""The one place where failures become status codes, as RFC 9457 problem details."""

import logging
import secrets
from collections.abc import Sequence
from http import HTTPStatus
from typing import TypeAlias

import orjson
from fastapi import FastAPI
from pydantic import ValidationError
from pydantic_core import ErrorDetails
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from service.api.guarded_route import guarded
from service.errors import (
    AccessDenied,
    ChangesNotStored,
    CursorExpired,
    DeadlineExceeded,
    InvalidInput,
    InvalidItem,
    ItemNotFound,
    KeyRequired,
    MagpieError,
    NotFound,
    Overloaded,
    RateExceeded,
    ScopeMissing,
    TooManyChanges,
    VersionNotFound,
)

_log = logging.getLogger(__name__)

_RETRY_AFTER_S = 1
_ERRORS_SHOWN = 10

_Said: TypeAlias = tuple[HTTPStatus, str, str, list[dict[str, str]]]
"""Status, code, detail and errors."""

# First match wins, so subclasses stand before their base.
_STATUS: tuple[tuple[type[MagpieError], HTTPStatus], ...] = (
    (CursorExpired, HTTPStatus.GONE),
    (InvalidInput, HTTPStatus.UNPROCESSABLE_ENTITY),
    (ItemNotFound, HTTPStatus.NOT_FOUND),
    (VersionNotFound, HTTPStatus.SERVICE_UNAVAILABLE),
    (NotFound, HTTPStatus.NOT_FOUND),
    (KeyRequired, HTTPStatus.UNAUTHORIZED),
    (ScopeMissing, HTTPStatus.FORBIDDEN),
    (RateExceeded, HTTPStatus.TOO_MANY_REQUESTS),
    (Overloaded, HTTPStatus.SERVICE_UNAVAILABLE),
    (DeadlineExceeded, HTTPStatus.GATEWAY_TIMEOUT),
    (ChangesNotStored, HTTPStatus.SERVICE_UNAVAILABLE),
    (TooManyChanges, HTTPStatus.INSUFFICIENT_STORAGE),
)


class RequestRefused(Exception):
    """A request that HTTP itself makes unusable, before any meaning is looked at."""

    def __init__(self, status: HTTPStatus, code: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail


def problem(
    status: HTTPStatus,
    code: str,
    detail: str,
    request_id: str,
    errors: Sequence[dict[str, str]] = (),
    *,
    retry_after_s: int = _RETRY_AFTER_S,
) -> Response:
    """Render a problem. `detail` must not hold anything the caller sent."""
    body = _details(status, code, detail, request_id, errors)
    headers = {"cache-control": "no-store"}
    if status in (HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS):
        headers["retry-after"] = str(retry_after_s)
    if status == HTTPStatus.UNAUTHORIZED:
        headers["www-authenticate"] = "Bearer"
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        # The rest of the body is still on its way; there is no point in reading it.
        headers["connection"] = "close"
    return Response(
        orjson.dumps(body), status.value, headers, media_type="application/problem+json"
    )


def raw_problem(
    status: HTTPStatus,
    code: str,
    detail: str,
    *,
    request_id: str = "",
    keep_alive: bool = False,
) -> bytes:
    """Render a problem as a whole HTTP/1.1 answer, where no application is to be asked.

    Args:
        status, code, detail: as for `problem`.
        request_id: a new one when empty.
        keep_alive: whether the connection can be used again.
    """
    request_id = request_id or secrets.token_hex(8)
    answer = problem(status, code, detail, request_id)
    answer.headers["x-request-id"] = request_id
    answer.headers["x-content-type-options"] = "nosniff"
    if not keep_alive:
        answer.headers["connection"] = "close"
    head = b"".join(b"%s: %s\r\n" % pair for pair in answer.raw_headers)
    line = f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode("ascii")
    return line + head + b"\r\n" + bytes(answer.body)


def details_of(error: MagpieError | ValidationError, request_id: str) -> dict[str, object] | None:
    """Describe what is wrong with a part of a request; None where it is no fault of the caller."""
    found = _said(error) if isinstance(error, MagpieError) else _flaws(error)
    return None if found is None else _details(found[0], *found[1:3], request_id, found[3])


def install(app: FastAPI) -> None:
    """Let an application answer every failure in this form."""
    app.add_exception_handler(MagpieError, on_magpie_error)
    app.add_exception_handler(ValidationError, on_validation_error)
    app.add_exception_handler(RequestRefused, on_refused)
    app.add_exception_handler(HTTPException, on_http_error)
    app.add_exception_handler(Exception, on_unexpected)


async def on_magpie_error(request: Request, error: Exception) -> Response:
    """Translate the error tree."""
    assert isinstance(error, MagpieError)
    said = _said(error)
    if said is None:
        return await on_unexpected(request, error)
    if isinstance(error, AccessDenied):
        request.app.state.metrics.denied.labels(error.code).inc()
    status, code, detail, errors = said
    wait_s = error.retry_after_s if isinstance(error, RateExceeded) else _RETRY_AFTER_S
    request_id = request_id_of(request)
    return problem(status, code, detail, request_id, errors, retry_after_s=wait_s)


async def on_validation_error(request: Request, error: Exception) -> Response:
    """Say what is wrong with a body or parameter, without repeating it."""
    assert isinstance(error, ValidationError)
    status, code, detail, errors = _flaws(error, "query" if request.method == "GET" else "body")
    return problem(status, code, detail, request_id_of(request), errors)


async def on_refused(request: Request, error: Exception) -> Response:
    """Translate what the HTTP edge refuses by itself."""
    assert isinstance(error, RequestRefused)
    return problem(error.status, error.code, error.detail, request_id_of(request))


async def on_http_error(request: Request, error: Exception) -> Response:
    """Give the router's own 404 and 405 the same shape as every other error."""
    assert isinstance(error, HTTPException)
    status = HTTPStatus(error.status_code)
    code = status.name.lower()
    answer = problem(status, code, f"{status.phrase}.", request_id_of(request))
    answer.headers.update(error.headers or {})
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        answer.headers["allow"] = ", ".join(_methods(request))
    return answer


async def on_unexpected(request: Request, error: Exception) -> Response:
    """Answer for a bug of ours: log it, give nothing of it away."""
    _log.error("request %s failed", request_id_of(request), exc_info=error)
    return problem(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "internal",
        "The service could not answer. The log has the cause under this request_id.",
        request_id_of(request),
    )


def request_id_of(request: Request) -> str:
    """The id that the middleware gave the request."""
    return str(request.scope.get("magpie.request_id", ""))


def _methods(request: Request) -> list[str]:
    """Every method of an address: the router knows only those of the route it looked at."""
    path = request.scope["route"].path
    same = (route for route in guarded(request.app.routes) if route.path == path)
    return sorted({method for route in same for method in route.methods or ()})


def _details(
    status: HTTPStatus, code: str, detail: str, request_id: str, errors: Sequence[dict[str, str]]
) -> dict[str, object]:
    details: dict[str, object] = {
        "type": f"urn:magpie:problem:{code}",
        "title": status.phrase,
        "status": status.value,
        "code": code,
        "detail": detail,
        "request_id": request_id,
    }
    return {**details, "errors": list(errors)} if errors else details


def _said(error: MagpieError) -> _Said | None:
    for kind, status in _STATUS:
        if isinstance(error, kind):
            flaws = error.flaws if isinstance(error, InvalidItem) else ()
            errors = [{"where": where, "what": what} for where, what in flaws]
            # Without what the caller gave, which some errors keep beside it.
            return status, error.code, f"{error.message} {error.hint}".strip(), errors
    return None


def _flaws(error: ValidationError, part: str = "body") -> _Said:
    found = error.errors(include_input=False, include_url=False, include_context=False)
    if found and found[0]["type"] == "json_invalid":
        return HTTPStatus.BAD_REQUEST, "invalid_json", "The body is not valid JSON.", []
    return (
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "invalid_request",
        "The request does not have the form that the API documents; see `errors`.",
        [_described(each, part) for each in found[:_ERRORS_SHOWN]],
    )


def _described(error: ErrorDetails, part: str) -> dict[str, str]:
    where = ".".join(str(part) for part in error["loc"] if part != "__root__")
    # pydantic names the caller's own key for an unknown field; do not echo it.
    if error["type"] == "extra_forbidden":
        where = ".".join(str(part) for part in error["loc"][:-1])
    # Nor the names of an item's attributes.
    parts = where.split(".")
    if "attributes" in parts:
        where = ".".join(parts[: parts.index("attributes") + 1])
    what = error["msg"].removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        what = "A name stands here that the API does not know."
    return {"where": where or part, "what": what}
