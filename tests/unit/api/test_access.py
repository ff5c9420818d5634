"""Every route asks for the scope that it declares, however its address is written."""

import shutil
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI
from starlette.testclient import TestClient

from service.access.key_file import KeyFile
from service.access.keys import new_key
from service.access.rate import Rate
from service.access.scopes import SCOPES, Scope, covers
from service.api.app import create_app
from service.api.guarded_route import GuardedRoute, guarded, public, requires
from service.settings import Settings

NOW = datetime(2026, 11, 25, tzinfo=UTC)
RECOMMEND = ("POST", "/recommend", {"like": ["pin-1"], "k": 1})
PUT = ("PUT", "/items", {"items": [{"id": "pin-1", "attributes": {"title": "bread"}}]})


class Keyed:
    """The sample pins behind keys: one of each scope, and one that was revoked."""

    def __init__(self, client: TestClient, secrets: dict[str, str], path: Path) -> None:
        self.client = client
        self.secrets = secrets
        self.path = path

    def ask(self, who: str | None, method: str, path: str, body: object = None) -> Any:
        headers = {} if who is None else {"authorization": f"Bearer {self.secrets[who]}"}
        return self.client.request(method, path, json=body, headers=headers)


@pytest.fixture(scope="module")
def keyed(
    pins_indexes: Path, toy_models: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Keyed]:
    path = tmp_path_factory.mktemp("keys") / "keys.json"
    file, secrets = KeyFile.new(), {"unknown": f"mgp_00000000_{'0' * 48}"}
    held: dict[str, Scope] = {**{scope: scope for scope in SCOPES}, "revoked": "admin"}
    for name, scope in held.items():
        made, secrets[name] = new_key(name, scope, None, pepper=file.pepper, now=NOW)
        file = file.with_key(made)
    file.without("revoked").write(path)
    settings = Settings(
        models_dir=toy_models, indexes_dir=pins_indexes, keys_file=path, host="0.0.0.0"
    )
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        yield Keyed(client, secrets, path)


def operations(keyed: Keyed) -> list[tuple[str, str, Scope | None]]:
    """Method, address and scope of everything in the OpenAPI document."""
    document = keyed.ask("read", "GET", "/openapi.json").json()
    return [
        (method.upper(), path.replace("{item_id}", "pin-1"), operation.get("x-scope"))
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]


def test_every_route_asks_everybody_for_the_scope_it_documents(keyed: Keyed) -> None:
    found = operations(keyed)
    assert {scope for _, _, scope in found} >= {None, "read", "write"}
    for method, path, needed in found:
        for who in (None, "unknown", "revoked", *SCOPES):
            response = keyed.ask(who, method, path)
            told = (who, method, path, response.text)
            held = next((scope for scope in SCOPES if scope == who), None)
            if needed is None or covers(held, needed):
                assert response.status_code not in {401, 429}, told
                assert response.status_code != 403 or response.json()["code"] == "read_only", told
            elif held is not None:
                assert response.status_code == 403, told
                assert response.json()["code"] == "scope_missing"
            else:
                assert response.status_code == 401, told
                assert response.json()["code"] == "key_required"
                assert response.headers["www-authenticate"] == "Bearer"


def test_only_probes_and_the_page_itself_are_public(keyed: Keyed) -> None:
    documented = {path for _, path, needed in operations(keyed) if needed is None}
    assert documented == {"/livez", "/readyz"}
    everything = {path for path in ("/", "/web/app.js", "/favicon.ico", "/livez", "/readyz")}
    assert {keyed.ask(None, "GET", path).status_code for path in everything} == {200}
    assert keyed.ask(None, "GET", "/openapi.json").status_code == 401


@pytest.mark.parametrize("request_", [RECOMMEND, ("GET", "/items/pin-9/similar?k=2", None)])
def test_an_answer_in_memory_is_still_only_for_those_who_may_read(
    keyed: Keyed, request_: tuple[str, str, object]
) -> None:
    first, again = (keyed.ask("read", *request_) for _ in range(2))
    assert 'desc="local"' in again.headers["server-timing"]
    assert first.json()["items"] == again.json()["items"]
    for who in (None, "unknown", "revoked"):
        refused = keyed.ask(who, *request_)
        assert (refused.status_code, "items" in refused.json()) == (401, False)


@pytest.mark.parametrize(
    "headers",
    [
        {"x-api-key": "{read}"},
        {"authorization": "bearer {read}"},
        {"authorization": "BEARER  {read} "},
    ],
)
def test_a_key_is_taken_from_either_header(keyed: Keyed, headers: dict[str, str]) -> None:
    sent = {name: value.format(**keyed.secrets) for name, value in headers.items()}
    assert keyed.client.get("/info", headers=sent).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        [("authorization", "{read}")],
        [("authorization", "Basic {read}")],
        [("authorization", "Bearer")],
        [("x-api-key", "")],
        [("x-api-key", "{read}"), ("x-api-key", "{read}")],
        [("x-api-key", "{read}"), ("authorization", "Bearer {admin}")],
        [("cookie", "key={admin}")],
        [("x-forwarded-for", "127.0.0.1"), ("x-real-ip", "127.0.0.1"), ("forwarded", "for=::1")],
        [("x-original-url", "/livez"), ("x-rewrite-url", "/livez"), ("host", "localhost")],
    ],
)
def test_nothing_else_and_nothing_twice_is_a_key(
    keyed: Keyed, headers: list[tuple[str, str]]
) -> None:
    sent = [(name, value.format(**keyed.secrets)) for name, value in headers]
    assert keyed.client.get("/info", headers=sent).status_code == 401
    assert keyed.client.get(f"/info?key={keyed.secrets['admin']}").status_code == 401


ADDRESSES = [
    "//items", "/items/", "/items//", "/ITEMS", "/Items", "/items.", "/items%2F", "/items%2f..",
    "/livez/../items", "/livez%2F..%2Fitems", "/./items", "/items;x=1", "/items%00", "/%69tems",
    "/web/../items", "/items?/livez", "/items#/livez", "/web/..%2f..%2fitems", "http://x/items",
    "/readyz%3F/../items", "/items/%2e%2e", "/livez//items", "\\items", "/items\\",
]  # fmt: skip
HOSTS = ["localhost", "127.0.0.1", "x/livez?", "x#", "a@b", "x:0/livez", "livez", "[::1]", ""]


@pytest.mark.parametrize("address", ADDRESSES)
def test_no_way_to_write_an_address_changes_who_may_change_items(
    keyed: Keyed, address: str
) -> None:
    for who in (None, "unknown", "read"):
        refused = keyed.ask(who, "PUT", address, PUT[2])
        assert refused.status_code in {401, 403, 404, 405}, (who, address, refused.text)
        assert "sequence" not in refused.text
        deleted = keyed.ask(who, "DELETE", address + "/pin-1")
        assert deleted.status_code in {401, 403, 404, 405}, (who, address, deleted.text)


@pytest.mark.parametrize("host", HOSTS)
def test_no_host_header_changes_who_may_ask(keyed: Keyed, host: str) -> None:
    for method, path, body in (RECOMMEND, PUT, ("GET", "/info", None)):
        refused = keyed.client.request(method, path, json=body, headers={"host": host})
        assert refused.status_code == 401
    moved = keyed.client.get("/info/", headers={"host": "evil.example"}, follow_redirects=False)
    assert moved.status_code == 404  # and no redirect to a host that the caller chose
    assert "location" not in moved.headers


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/docs/oauth2-redirect"])
def test_there_are_no_pages_of_documentation(keyed: Keyed, path: str) -> None:
    assert keyed.ask("admin", "GET", path).status_code == 404


def test_revocation_reaches_a_running_service(keyed: Keyed) -> None:
    file = KeyFile.read(keyed.path)
    made, secret = new_key("late", "read", None, pepper=file.pepper, now=NOW)
    file.with_key(made).write(keyed.path)
    headers = {"x-api-key": secret}
    assert eventually(keyed, headers, 200)
    assert keyed.client.post("/recommend", json=RECOMMEND[2], headers=headers).status_code == 200
    file.write(keyed.path)
    assert eventually(keyed, headers, 401)
    assert keyed.client.post("/recommend", json=RECOMMEND[2], headers=headers).status_code == 401


def test_a_key_that_asks_too_often_is_told_when_to_come_again(keyed: Keyed) -> None:
    file = KeyFile.read(keyed.path)
    made, secret = new_key("slow", "read", Rate.parse("2/m"), pepper=file.pepper, now=NOW)
    file.with_key(made).write(keyed.path)
    headers = {"x-api-key": secret}
    try:
        assert eventually(keyed, headers, 429)
        for method, path, body in (RECOMMEND, RECOMMEND, ("GET", "/info", None)):
            refused = keyed.client.request(method, path, json=body, headers=headers)
            assert (refused.status_code, refused.json()["code"]) == (429, "rate_exceeded")
            assert 1 <= int(refused.headers["retry-after"]) <= 30
        # Others, and probes, are not held up by it.
        assert keyed.ask("read", *RECOMMEND).status_code == 200
        assert keyed.client.get("/livez", headers=headers).status_code == 200
        counted = keyed.ask("read", "GET", "/metrics").text
        assert 'rec_auth_failures_total{reason="rate_exceeded"}' in counted
        assert made.id not in counted
    finally:
        file.write(keyed.path)


def test_a_batch_counts_as_the_questions_in_it(keyed: Keyed) -> None:
    file = KeyFile.read(keyed.path)
    made, secret = new_key("batches", "read", Rate.parse("40/s"), pepper=file.pepper, now=NOW)
    file.with_key(made).write(keyed.path)
    headers = {"x-api-key": secret}
    batch = {"queries": [{"like": [f"pin-{n}"], "k": 1} for n in range(1, 101)]}
    try:
        assert eventually(keyed, headers, 200)
        time.sleep(1)
        first, second = (
            keyed.client.post("/recommend/batch", json=batch, headers=headers) for _ in range(2)
        )
        assert (first.status_code, second.status_code) == (200, 429)
        assert 1 <= int(second.headers["retry-after"]) <= 3
    finally:
        file.write(keyed.path)


def eventually(keyed: Keyed, headers: dict[str, str], status: int) -> bool:
    for _ in range(100):  # five seconds, as promised
        if keyed.client.get("/info", headers=headers).status_code == status:
            return True
        time.sleep(0.05)
    return False


def test_the_service_says_that_it_asks_for_keys(keyed: Keyed) -> None:
    assert keyed.ask("read", "GET", "/info").json()["access"] == "keys"
    assert keyed.ask(None, "GET", "/readyz").json()["access"] == "keys"


def served(pins_indexes: Path, toy_models: Path, **settings: Any) -> TestClient:
    return TestClient(
        create_app(Settings(models_dir=toy_models, indexes_dir=pins_indexes, **settings)),
        raise_server_exceptions=False,
    )


def test_without_keys_only_this_machine_is_answered(pins_indexes: Path, toy_models: Path) -> None:
    with served(pins_indexes, toy_models) as client:
        assert client.get("/info").json()["access"] == "loopback"
        for host, status in (("127.0.0.1", 200), ("192.0.2.7", 403), ("[2001:db8::1]", 403)):
            # The test client gives the address it asks as the one the connection came in by.
            assert client.get(f"http://{host}/info").status_code == status
            assert client.get(f"http://{host}/livez").status_code == 200


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8000", 200),
        ("localhost", 200),
        ("LOCALHOST:8000", 200),
        ("[::1]:8000", 200),
        ("rebound.example:8000", 403),
        ("localhost.evil.example", 403),
        ("127.0.0.1.evil.example", 403),
        ("192.0.2.7", 403),
        ("a@localhost.example", 403),
        ("[::1", 403),
        ("", 403),
    ],
)
def test_without_keys_no_page_reads_by_turning_its_name_to_this_machine(
    pins_indexes: Path, toy_models: Path, host: str, status: int
) -> None:
    with served(pins_indexes, toy_models) as client:
        url = "http://127.0.0.1"
        for _ in range(2):
            answer = client.post(f"{url}/recommend", json={"k": 1}, headers={"host": host})
            assert answer.status_code == status
        assert client.get(f"{url}/livez", headers={"host": host}).status_code == 200


def test_without_keys_no_page_of_another_site_changes_items(
    pins_indexes: Path, toy_models: Path, tmp_path: Path
) -> None:
    own = shutil.copytree(pins_indexes, tmp_path / "indexes")
    with served(own, toy_models, writable=True) as client:
        for origin, status in (
            ("https://evil.example", 403),
            ("http://evil.example:8000", 403),
            ("null", 403),
            ("http://[::1", 403),
            ("http://192.0.2.7", 403),
            ("http://localhost:8000", 404),
            ("http://127.0.0.1:8000", 404),
            ("http://[::1]:8000", 404),
        ):
            response = client.delete("/items/no-such-pin", headers={"origin": origin})
            assert response.status_code == status, origin
        assert client.delete("/items/no-such-pin").status_code == 404


def test_an_insecure_service_says_so_and_is_read_only(pins_indexes: Path, toy_models: Path) -> None:
    with served(pins_indexes, toy_models, host="0.0.0.0", insecure=True) as client:
        assert client.get("http://192.0.2.7/info").json()["access"] == "insecure"
        assert client.get("http://192.0.2.7/readyz").json()["access"] == "insecure"
        assert client.put("http://192.0.2.7/items", json=PUT[2]).status_code == 403


@pytest.mark.parametrize("router", [APIRouter(route_class=GuardedRoute), APIRouter()])
def test_a_route_that_declares_nothing_cannot_be_served(router: APIRouter) -> None:

    @router.get("/open")
    async def undeclared() -> None: ...

    app = FastAPI(openapi_url=None)
    app.include_router(router)
    with pytest.raises(TypeError, match=r"/open.*declare"):
        guarded(app.routes)


def test_a_declared_route_is_listed_with_its_scope_also_in_nested_routers() -> None:
    inner, outer = (APIRouter(route_class=GuardedRoute) for _ in range(2))

    @inner.get("/a")
    @requires("admin")
    async def steered() -> None: ...

    @outer.get("/b")
    @public
    async def seen() -> None: ...

    outer.include_router(inner)
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    app.include_router(outer)
    assert {(each.path, each.needed) for each in guarded(app.routes)} == {
        ("/a", "admin"),
        ("/b", None),
    }
