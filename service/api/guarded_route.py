"""Routes that say who may use them. One that does not say it cannot be served at all."""

from collections.abc import Callable, Iterable
from typing import Final, TypeVar

from fastapi.routing import APIRoute
from starlette.routing import BaseRoute
from starlette.types import Receive, Send
from starlette.types import Scope as AsgiScope

from service.access.scopes import Scope
from service.api.guard import authorise
from service.errors import AccessDenied

_Endpoint = TypeVar("_Endpoint", bound=Callable[..., object])

_DECLARED: Final[dict[Callable[..., object], Scope | None]] = {}


def requires(scope: Scope) -> Callable[[_Endpoint], _Endpoint]:
    """Declare, above a route's function, what one must be allowed to use it."""

    def declare(endpoint: _Endpoint) -> _Endpoint:
        _DECLARED[endpoint] = scope
        return endpoint

    return declare


def public(endpoint: _Endpoint) -> _Endpoint:
    """Declare that a route is for everybody, without a key."""
    _DECLARED[endpoint] = None
    return endpoint


class GuardedRoute(APIRoute):
    """Asks for what the route declares before anything of the request is read."""

    @property
    def needed(self) -> Scope | None:
        """What one must be allowed; None is for everybody.

        Raises:
            KeyError: the route declares nothing.
        """
        return _DECLARED[self.endpoint]

    async def handle(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """Answer who may ask."""
        try:
            authorise(scope, self.needed)
        except AccessDenied as refusal:
            scope["app"].state.metrics.denied.labels(refusal.code).inc()
            raise
        await super().handle(scope, receive, send)


def guarded(routes: Iterable[BaseRoute]) -> list[GuardedRoute]:
    """List all routes, those of included routers too, if every one of them is guarded.

    Raises:
        TypeError: a route does not declare who may use it.
    """
    found: list[GuardedRoute] = []
    for route in routes:
        router = getattr(route, "original_router", None)
        if router is not None:
            found += guarded(router.routes)
        elif isinstance(route, GuardedRoute) and route.endpoint in _DECLARED:
            found.append(route)
        else:
            raise TypeError(
                f"{getattr(route, 'path', route)} does not declare who may use it: give its router "
                "`route_class=GuardedRoute`, and it `@requires(...)` or `@public`."
            )
    return found
