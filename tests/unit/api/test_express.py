"""Past the router: the same routes, the same refusals, and nothing that was not meant."""

import pytest
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response
from starlette.testclient import TestClient
from starlette.types import Message

from service.api.express import Express
from service.api.guarded_route import GuardedRoute, guarded, public
from service.api.metrics import Metrics


@public
async def plain(request: Request) -> Response:
    return Response(request.url.path)


@public
async def breaks(request: Request) -> Response:
    raise ZeroDivisionError("a bug")


@public
async def refuses(request: Request) -> Response:
    raise LookupError("not here")


@public
async def of_item(item_id: str, request: Request) -> Response:
    return Response(item_id)


@public
async def counts(n: int) -> dict[str, int]:
    return {"n": n}


async def on_lookup(request: Request, error: Exception) -> Response:
    return Response("lookup", 404)


async def on_any(request: Request, error: Exception) -> Response:
    return Response("any", 500)


@pytest.fixture
def app() -> FastAPI:
    app = FastAPI(openapi_url=None)
    app.router.route_class = GuardedRoute
    for endpoint in (plain, breaks, refuses, counts):
        app.get(f"/{endpoint.__name__}")(endpoint)
    app.get("/items/{item_id:path}/similar")(of_item)
    app.add_exception_handler(LookupError, on_lookup)
    app.add_exception_handler(Exception, on_any)
    app.state.metrics = Metrics()
    return app


@pytest.fixture
def pair(app: FastAPI) -> list[TestClient]:
    both = (app, Express(app, guarded(app.routes)))
    return [TestClient(each, raise_server_exceptions=False) for each in both]


@pytest.mark.parametrize(
    "path", ["/plain", "/breaks", "/refuses", "/counts?n=3", "/counts?n=x", "/items/a/b/similar"]
)
def test_every_answer_is_what_the_router_would_give(pair: list[TestClient], path: str) -> None:
    slow, fast = (client.get(path) for client in pair)
    assert (fast.status_code, fast.content) == (slow.status_code, slow.content)


@pytest.mark.parametrize("method", ["POST", "HEAD", "OPTIONS"])
def test_other_methods_of_an_address_are_the_routers(pair: list[TestClient], method: str) -> None:
    slow, fast = (client.request(method, "/plain") for client in pair)
    assert fast.status_code == slow.status_code == 405
    assert fast.headers["allow"] == slow.headers["allow"]


def test_a_bug_reaches_whoever_runs_the_server(app: FastAPI) -> None:
    client = TestClient(Express(app, guarded(app.routes)))
    with pytest.raises(ZeroDivisionError):
        client.get("/breaks")


def test_only_routes_that_are_plain_and_fixed_are_taken(app: FastAPI) -> None:
    plain_ones = {route.path: route.is_plain for route in guarded(app.routes)}
    assert plain_ones == {
        "/plain": True,
        "/breaks": True,
        "/refuses": True,
        "/counts": False,
        "/items/{item_id:path}/similar": True,
    }


async def test_what_fails_while_an_answer_is_sent_is_not_answered_twice(app: FastAPI) -> None:
    sent: list[str] = []

    async def receive() -> Message:
        raise AssertionError("nothing to read")

    async def send(message: Message) -> None:
        sent.append(message["type"])
        if message["type"] == "http.response.body":
            raise ConnectionResetError

    scope = {
        "type": "http", "method": "GET", "path": "/plain", "raw_path": b"/plain",
        "query_string": b"", "headers": [], "server": ("test", 80), "scheme": "http", "state": {},
    }  # fmt: skip
    with pytest.raises(ConnectionResetError):
        await Express(app, guarded(app.routes))(scope, receive, send)
    assert sent == ["http.response.start", "http.response.body"]
