"""Past the framework's router, straight to the routes that are asked all the time.

Matching and nine layers of middleware cost as much as half a search. A route whose address is
fixed and that leaves the framework nothing to work out is found in a table instead; all else goes
through the framework, and so do other methods of the same address.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ExceptionHandler, Receive, Scope, Send

from service.api.guarded_route import GuardedRoute

_Translate: TypeAlias = Callable[[Request, Exception], Awaitable[Response]]


class Express:
    """An application that serves some routes of another one itself.

    Args:
        app: what serves all the others; its exception handlers serve for both.
        routes: those of the other application.
    """

    def __init__(self, app: FastAPI, routes: Sequence[GuardedRoute]) -> None:
        self.app = app
        self._routes = {
            (method, route.path): route
            for route in routes
            if route.is_plain and not route.param_convertors
            for method in route.methods or ()
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI scope."""
        is_http = scope["type"] == "http" and not scope.get("root_path")
        route = self._routes.get((scope["method"], scope["path"])) if is_http else None
        if route is None:
            await self.app(scope, receive, send)
            return
        scope["app"], scope["route"], scope["path_params"] = self.app, route, {}
        try:
            response = await route.respond(scope, receive, send)
        except Exception as error:
            response = await self._translated(Request(scope, receive), error)
            await response(scope, receive, send)
            if self._handler(error) is self.app.exception_handlers.get(Exception):
                # A bug of ours: whoever runs the server sees it too, as behind the router.
                raise
            return
        await response(scope, receive, send)

    def _handler(self, error: Exception) -> ExceptionHandler:
        kinds = self.app.exception_handlers
        return next(kinds[kind] for kind in type(error).__mro__ if kind in kinds)

    async def _translated(self, request: Request, error: Exception) -> Response:
        handle: _Translate = self._handler(error)  # type: ignore[assignment]
        return await handle(request, error)
