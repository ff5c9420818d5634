"""Routes that say who may use them. One that does not say it cannot be served at all."""

from collections.abc import Callable, Iterable
from functools import cached_property
from inspect import iscoroutinefunction, signature
from typing import Final, TypeVar

from fastapi.routing import APIRoute
from starlette.convertors import PathConvertor, StringConvertor
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import Receive, Send
from starlette.types import Scope as AsgiScope

from service.access.scopes import Scope
from service.api.guard import authorise

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
        if self.is_plain and scope["method"] in (self.methods or ()):
            response = await self.respond(scope, receive, send)
            await response(scope, receive, send)
            return
        authorise(scope, self.needed)
        await super().handle(scope, receive, send)

    async def respond(self, scope: AsgiScope, receive: Receive, send: Send) -> Response:
        """Make the answer for who may ask, where the route `is_plain` and knows the method.

        Raises:
            Exception: what `authorise` or the route's function raises.
        """
        authorise(scope, self.needed)
        request, services = Request(scope, receive, send), scope["state"].get("services")
        known = {"request": request, "services": services}
        given = {name: known[name] for name in self._given}
        # What it raises is translated outside the router, as for every other route.
        response: Response = await self.endpoint(**given, **scope["path_params"])
        return response

    @cached_property
    def _parameters(self) -> frozenset[str]:
        return frozenset(signature(self.endpoint).parameters)

    @cached_property
    def _given(self) -> tuple[str, ...]:
        return tuple(self._parameters & {"request", "services"})

    @cached_property
    def is_plain(self) -> bool:
        """Whether there is nothing for the framework to work out: that costs as much as a search.

        Such a route takes the request, the services and texts from its path, in their own names,
        and returns a finished response.
        """
        path_texts = {
            name
            for name, kind in self.param_convertors.items()
            if type(kind) in (StringConvertor, PathConvertor)
        }
        is_finished = signature(self.endpoint).return_annotation is Response
        is_known = self._parameters <= path_texts | {"request", "services"}
        return is_finished and is_known and iscoroutinefunction(self.endpoint)


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
