"""Steering: never where the service is public, for admins only, and written down."""

import logging
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from service.access.key_file import KeyFile
from service.access.keys import new_key
from service.access.rate import Rate
from service.access.scopes import SCOPES
from service.api.admin import create_admin_app
from service.api.app import create_app
from service.api.metrics import Metrics
from service.errors import InvalidSettings
from service.settings import Settings
from tests.conftest import build_pins

NOW = datetime(2026, 11, 25, tzinfo=UTC)
RELOAD = ("POST", "/admin/reload")


@pytest.fixture(scope="module")
def listeners(
    pins_indexes: Path, toy_models: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[TestClient, TestClient, dict[str, str]]]:
    """The public one, the admin one, and a key of each scope."""
    path = tmp_path_factory.mktemp("keys") / "keys.json"
    file = KeyFile.new()
    secrets: dict[str, str] = {}
    for scope in SCOPES:
        made, secrets[scope] = new_key(f"of-{scope}", scope, None, pepper=file.pepper, now=NOW)
        file = file.with_key(made)
    made, secrets["slow"] = new_key("slow", "admin", Rate.parse("1/h"), pepper=file.pepper, now=NOW)
    file.with_key(made).write(path)
    settings = Settings(
        models_dir=toy_models,
        indexes_dir=pins_indexes,
        keys_file=path,
        # Nobody answers there.
        redis_url="redis://127.0.0.1:1/0",
    )
    front = create_app(settings)
    with TestClient(front, raise_server_exceptions=False) as public:
        yield public, beside(public, front), secrets


def beside(public: TestClient, front: Any) -> TestClient:
    """The admin listener of an application, which takes over what that has opened."""
    admin = TestClient(create_admin_app(front.guard, Metrics()), raise_server_exceptions=False)
    admin.app_state.update(public.app_state)
    return admin


def bearer(secret: str) -> dict[str, str]:
    return {"authorization": f"Bearer {secret}"}


def test_the_public_listener_knows_no_admin_route(
    listeners: tuple[TestClient, TestClient, dict[str, str]],
) -> None:
    public, admin, secrets = listeners
    document = admin.get("/openapi.json", headers=bearer(secrets["admin"])).json()
    assert list(document["paths"]) == ["/admin/reload"]
    for path in document["paths"]:
        assert public.post(path, headers=bearer(secrets["admin"])).status_code == 404


def test_only_admins_steer_and_every_attempt_is_written_down(
    listeners: tuple[TestClient, TestClient, dict[str, str]], caplog: pytest.LogCaptureFixture
) -> None:
    _, admin, secrets = listeners
    caplog.set_level(logging.INFO, "magpie.audit")
    attempts: list[tuple[dict[str, str], int, str]] = [
        ({}, 401, "nobody (missing): refused: key_required"),
        ({"x-api-key": "mgp_00000000_0"}, 401, "nobody (unknown): refused: key_required"),
        (bearer(secrets["read"]), 403, "(of-read): refused: scope_missing"),
        (bearer(secrets["write"]), 403, "(of-write): refused: scope_missing"),
        (bearer(secrets["admin"]), 200, "(of-admin): 200"),
    ]
    for headers, status, written in attempts:
        caplog.clear()
        response = admin.request(*RELOAD, headers=headers)
        assert response.status_code == status
        lines = [each.getMessage() for each in caplog.records if each.name == "magpie.audit"]
        assert len(lines) == 1
        assert lines[0].startswith("POST /admin/reload by ")
        assert written in lines[0]
        assert lines[0].endswith(response.headers["x-request-id"])
        assert not any(secret in lines[0] for secret in secrets.values())


def test_an_admin_whose_requests_cannot_be_counted_is_refused(
    listeners: tuple[TestClient, TestClient, dict[str, str]],
) -> None:
    _, admin, secrets = listeners
    refused = admin.request(*RELOAD, headers=bearer(secrets["slow"]))
    assert (refused.status_code, refused.json()["code"]) == (503, "overloaded")


def test_a_reload_takes_over_what_was_published_and_is_harmless_twice(
    pins_indexes: Path, toy_models: Path, tmp_path: Path, pins_path: Path
) -> None:
    own = shutil.copytree(pins_indexes, tmp_path / "indexes")
    settings = Settings(models_dir=toy_models, indexes_dir=own, reload_interval_s=3600)
    front = create_app(settings)
    with TestClient(front) as public:
        admin = beside(public, front)
        before = public.get("/readyz").json()["index"]
        build_pins(pins_path, toy_models, own, now=NOW)
        assert public.get("/readyz").json()["index"] == before
        first, second = (admin.request(*RELOAD).json() for _ in range(2))
        assert (first["is_new"], second["is_new"], second["keys"]) == (True, False, None)
        assert before != first["index"] == second["index"] == public.get("/readyz").json()["index"]


def test_without_keys_the_admin_listener_is_for_this_machine() -> None:
    with pytest.raises(InvalidSettings, match=r"MAGPIE_ADMIN_HOST.*MAGPIE_KEYS_FILE"):
        create_app(Settings(admin_port=9000, admin_host="0.0.0.0"))
    with pytest.raises(InvalidSettings, match="MAGPIE_ADMIN_HOST"):
        create_app(Settings(admin_port=9000, admin_host="0.0.0.0", host="0.0.0.0", insecure=True))


@pytest.mark.parametrize("insecure", [False, True])
def test_without_keys_strangers_and_pages_of_other_sites_steer_nothing(
    pins_indexes: Path, toy_models: Path, insecure: bool
) -> None:
    host = "0.0.0.0" if insecure else "127.0.0.1"
    settings = Settings(
        models_dir=toy_models, indexes_dir=pins_indexes, host=host, insecure=insecure
    )
    front = create_app(settings)
    with TestClient(front) as public:
        admin = beside(public, front)
        assert admin.post("http://192.0.2.7/admin/reload").status_code == 403
        page = {"origin": "https://evil.example"}
        assert admin.post("/admin/reload", headers=page).status_code == 403
        assert admin.post("/admin/reload").status_code == 200
