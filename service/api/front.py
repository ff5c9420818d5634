"""What every request meets first: an id, a place in the metrics, and a shortcut for repeats.

A cache hit costs less than the router and the framework around it, so a request that has been
answered before, to the byte, is answered here. Everything else goes through, framed.
"""

import random
import re
import time
from http import HTTPStatus
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.access.scopes import covers
from service.api.caller import TIMEOUT_HEADER
from service.api.errors import problem
from service.api.guard import PRINCIPAL, Guard
from service.api.http_cache import cache_control, etag_of, held_keys
from service.api.lifespan import Services
from service.api.metrics import Metrics
from service.api.render import compose
from service.api.repeats import LONGEST, asked_by_get, repeat_key
from service.cache.keys import KEY_BYTES
from service.errors import ItemNotFound

CACHE_KEY: Final = "magpie.cache_key"
"""Scope entry where a route leaves the cache key of an answer that the same request may reuse."""
UNKNOWN: Final = "magpie.unknown"
"""Scope entry where a route leaves what it says about an item that it does not know."""

_ID_FORM = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_JSON: Final = b"application/json"
_TIMEOUT: Final = TIMEOUT_HEADER.encode("ascii")
_JSON_TYPE: Final = (b"content-type", _JSON)
_NOSNIFF: Final = (b"x-content-type-options", b"nosniff")
_NO_STORE: Final = (b"cache-control", b"no-store")
_SIMILAR: Final = "/items/{item_id:path}/similar"


class Front:
    """Outermost layer, pure ASGI.

    Args:
        app: the application behind it.
        metrics: where requests are counted.
        guard: tells who asks; the routes, and here the shortcut, decide what they may.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, guard: Guard) -> None:
        self.app = app
        self._metrics = metrics
        self.guard = guard
        self._hits = metrics.cache.labels("local")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI scope."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        request_id, media_type, held, is_plain = _read_headers(scope)
        scope["magpie.request_id"] = request_id.decode("ascii")
        principal = scope[PRINCIPAL] = await self.guard.identify(scope)
        repeat = b""
        # Whoever may not read is answered by the routes, which say why.
        if is_plain and covers(principal.scope, "read"):
            repeat, receive = await _repeatable(scope, media_type, receive)
        services: Services | None = scope["state"].get("services") if repeat else None
        shelf = services.live.current.shelf if services is not None else None
        if services is not None and shelf is not None:
            repeat = repeat_key(repeat, shelf)
            if await self._answer_again(repeat, held, services, request_id, started, send):
                return
            if (detail := services.cache.negatives.get(_unknown(repeat))) is not None:
                await self._refuse_again(scope, receive, send, detail.decode(), started)
                return
        await self._frame(scope, receive, send, request_id, started)
        # A swap under way: the answer may be of the new version, the name above is of the old one.
        is_same = services is not None and services.live.current.shelf is shelf
        # Only answers for readers: nobody is asked for more than that before they are repeated.
        if services is None or not is_same or getattr(scope.get("route"), "needed", "") != "read":
            return
        if CACHE_KEY in scope:
            services.repeats.put(repeat, scope[CACHE_KEY] + scope["route"].path.encode())
        elif UNKNOWN in scope:
            services.cache.negatives.put(_unknown(repeat), scope[UNKNOWN].encode())

    async def _answer_again(
        self,
        repeat: bytes,
        held: bytes,
        services: Services,
        request_id: bytes,
        started: float,
        send: Send,
    ) -> bool:
        known = services.repeats.get(repeat)
        if known is None:
            return False
        key, route = known[:KEY_BYTES], known[KEY_BYTES:].decode()
        is_get = route != "/recommend"
        kept = _kept(key, services) if is_get else (_NO_STORE,)
        headers = [*kept, _NOSNIFF, (b"x-request-id", request_id)]
        if is_get and held and key in held_keys(held):
            await send({"type": "http.response.start", "status": 304, "headers": headers})
            await send({"type": "http.response.body", "body": b""})
            self._requests(route, "GET", 304, started)
            return True
        value = services.cache.peek(key)
        if value is None:
            return False
        body, degraded = compose(value, request_id, None)
        total_ms = (time.perf_counter() - started) * 1e3
        headers += [
            _JSON_TYPE,
            (b"content-length", b"%d" % len(body)),
            (b"server-timing", b'total;dur=%.3f, cache;desc="local"' % total_ms),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})
        self._hits.inc()
        services.popular.again(known[:KEY_BYTES])
        for reason in degraded:
            self._metrics.degraded.labels(reason).inc()
        self._requests(route, "GET" if is_get else "POST", 200, started)
        return True

    def _requests(self, route: str, method: str, status: int, started: float) -> None:
        counted = self._metrics.requests.labels(route, method, f"{status // 100}xx")
        counted.observe(time.perf_counter() - started)

    async def _refuse_again(
        self, scope: Scope, receive: Receive, send: Send, detail: str, started: float
    ) -> None:
        request_id: str = scope["magpie.request_id"]
        refusal = problem(HTTPStatus.NOT_FOUND, ItemNotFound.code, detail, request_id)
        refusal.headers["x-request-id"] = request_id
        refusal.headers["x-content-type-options"] = "nosniff"
        await refusal(scope, receive, send)
        self._metrics.cache.labels("negative").inc()
        self._metrics.rejected.labels("404").inc()
        spent_s = time.perf_counter() - started
        self._metrics.requests.labels(_SIMILAR, scope["method"], "4xx").observe(spent_s)

    async def _frame(
        self, scope: Scope, receive: Receive, send: Send, request_id: bytes, started: float
    ) -> None:
        status = 500

        async def send_framed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [
                    *message.get("headers", ()),
                    (b"x-request-id", request_id),
                    _NOSNIFF,
                ]
            await send(message)

        self._metrics.inflight.inc()
        try:
            await self.app(scope, receive, send_framed)
        finally:
            self._metrics.inflight.dec()
            self._count(scope, status, time.perf_counter() - started)

    def _count(self, scope: Scope, status: int, seconds: float) -> None:
        # The template, not the path: a label per item id would be a label without end.
        template = getattr(scope.get("route"), "path", "unmatched")
        status_class = f"{status // 100}xx"
        self._metrics.requests.labels(template, scope["method"], status_class).observe(seconds)
        if status >= 400:
            self._metrics.rejected.labels(str(status)).inc()


def _unknown(repeat: bytes) -> bytes:
    return b"unknown\0" + repeat


def _kept(key: bytes, services: Services) -> tuple[tuple[bytes, bytes], ...]:
    policy = cache_control(services.settings.http_cache_s)
    return (b"etag", etag_of(key)), (b"cache-control", policy)


def _read_headers(scope: Scope) -> tuple[bytes, bytes, bytes, bool]:
    """Return the request's id, given or new, its media type, what it holds, and whether plain.

    Plain is a request that wants nothing that only a route can see to.
    """
    given = media_type = held = b""
    is_plain = True
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            given = value
        elif name == b"content-type":
            media_type = value
        elif name == b"if-none-match":
            held = value
        elif name == _TIMEOUT:
            is_plain = False
    if not _ID_FORM.fullmatch(given):
        # Random enough to tell requests apart; nothing is kept secret by it.
        given = b"%016x" % random.getrandbits(64)
    return given, media_type, held, is_plain


async def _repeatable(scope: Scope, media_type: bytes, receive: Receive) -> tuple[bytes, Receive]:
    """Return what makes this request the same as another, empty if it is not worth knowing.

    The second value stands in for `receive`: it gives what was read here once more.
    """
    path = scope["raw_path"]
    if scope["method"] == "GET":
        is_answer = path == b"/search" or path.endswith(b"/similar")
        return (asked_by_get(path, scope["query_string"]) if is_answer else b""), receive
    if path != b"/recommend" or scope["method"] != "POST" or media_type != _JSON:
        return b"", receive
    first = await receive()
    body = first.get("body", b"")
    is_whole = first["type"] == "http.request" and not first.get("more_body", False)
    return (body if is_whole and len(body) <= LONGEST else b""), _again(first, receive)


def _again(first: Message, receive: Receive) -> Receive:
    pending = [first]

    async def receive_again() -> Message:
        return pending.pop() if pending else await receive()

    return receive_again
