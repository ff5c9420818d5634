"""What every request gets: an id, a place in the metrics, safe headers. Pure ASGI, for speed."""

import re
import secrets
import time

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.metrics import Metrics

_ID_HEADER = b"x-request-id"
_ID_FORM = re.compile(rb"[A-Za-z0-9._-]{1,64}")


class RequestFrame:
    """Outermost layer: request id in and out, duration by route, refusals counted."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI scope."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _request_id(scope)
        scope["magpie.request_id"] = request_id
        started = time.perf_counter()
        status = 500

        async def send_framed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["x-request-id"] = request_id
                headers["x-content-type-options"] = "nosniff"
            await send(message)

        self._metrics.inflight.inc()
        try:
            await self._app(scope, receive, send_framed)
        finally:
            self._metrics.inflight.dec()
            self._count(scope, status, time.perf_counter() - started)

    def _count(self, scope: Scope, status: int, seconds: float) -> None:
        # The template, not the path: a label per item id would be a label without end.
        route = scope.get("route")
        template = getattr(route, "path", "unmatched")
        self._metrics.requests.labels(template, scope["method"], f"{status // 100}xx").observe(
            seconds
        )
        if status >= 400:
            self._metrics.rejected.labels(str(status)).inc()


def _request_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == _ID_HEADER and _ID_FORM.fullmatch(value):
            return str(value.decode("ascii"))
    return secrets.token_hex(8)
