"""Deadlines and clients that hang up, through the whole application with a model that is held."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.testclient import TestClient

from service.api.app import create_app
from service.api.express import Express
from service.api.lifespan import Services
from service.encoders.exports import find_export
from service.encoders.onnx_encoder import OnnxEncoder
from service.index.live import Live
from service.settings import Settings
from service.types import Vectors


class HeldEncoder:
    """The toy model, which waits for the gate before each call."""

    def __init__(self, encoder: OnnxEncoder) -> None:
        self._encoder = encoder
        self.identity = encoder.identity
        self.dim = encoder.dim
        self.max_tokens = encoder.max_tokens
        self.gate = threading.Event()
        self.entered = threading.Semaphore(0)
        self.batches: list[list[str]] = []

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        self.batches.append(list(texts))
        self.entered.release()
        assert self.gate.wait(10)
        return self._encoder.encode_queries(texts)

    def encode_items(self, texts: Sequence[str]) -> Vectors:
        return self._encoder.encode_items(texts)


class Stage:
    """The application with its lifespan open, and the model that it uses."""

    def __init__(self, call: Any, services: Services, encoder: HeldEncoder) -> None:
        self.call, self.services, self.encoder = call, services, encoder
        transport = httpx.ASGITransport(call)
        self.client = httpx.AsyncClient(transport=transport, base_url="http://test")

    def search(self, text: str, timeout_ms: int | None = None) -> "asyncio.Task[httpx.Response]":
        headers = {} if timeout_ms is None else {"request-timeout-ms": str(timeout_ms)}
        return asyncio.create_task(
            self.client.get("/search", params={"q": text, "k": 1}, headers=headers)
        )

    def dropped(self, reason: str) -> float:
        labels = {"reason": reason}
        registry = self.services.metrics.registry
        return registry.get_sample_value("rec_encode_dropped_total", labels) or 0.0

    async def until(self, true: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not true():  # noqa: ASYNC110 - what is waited for happens on another thread
                await asyncio.sleep(0.002)


@pytest.fixture
async def stage(pins_indexes: Path, toy_models: Path) -> AsyncIterator[Stage]:
    encoder = HeldEncoder(OnnxEncoder.open(find_export(toy_models, "toy")))
    live = Live(pins_indexes, "pins", lambda identity: encoder)
    # The encoder waits for its gate, and nobody but the tests should be asking.
    settings = Settings(models_dir=toy_models, indexes_dir=pins_indexes, warm_start_queries=0)
    app = create_app(settings, live)
    assert isinstance(app.app, Express)
    async with app.app.app.router.lifespan_context(app.app.app) as state:
        assert state is not None
        services: Services = state["services"]

        async def with_state(scope: Any, receive: Any, send: Any) -> None:
            await app({**scope, "state": {"services": services}}, receive, send)

        stage = Stage(with_state, services, encoder)
        async with stage.client:
            yield stage
            encoder.gate.set()


async def test_work_whose_deadline_passes_in_the_queue_is_answered_504_and_never_encoded(
    stage: Stage,
) -> None:
    first = stage.search("bread")
    await stage.until(lambda: len(stage.encoder.batches) == 1)
    answer = await stage.search("garden flowers", timeout_ms=20)
    assert answer.status_code == 504
    assert answer.json()["code"] == "deadline_exceeded"
    stage.encoder.gate.set()
    assert (await first).status_code == 200
    assert stage.encoder.batches == [["bread"]]
    assert stage.dropped("expired") == 1


async def test_a_deadline_holds_for_those_who_share_another_callers_work(stage: Stage) -> None:
    patient = stage.search("bread")
    await stage.until(lambda: len(stage.encoder.batches) == 1)
    hasty = await stage.search("bread", timeout_ms=20)
    assert hasty.status_code == 504
    stage.encoder.gate.set()
    assert (await patient).status_code == 200
    assert stage.encoder.batches == [["bread"]]


async def test_a_client_may_ask_for_less_time_but_not_for_more(
    pins_indexes: Path, toy_models: Path
) -> None:
    encoder = HeldEncoder(OnnxEncoder.open(find_export(toy_models, "toy")))
    live = Live(pins_indexes, "pins", lambda identity: encoder)
    settings = Settings(
        models_dir=toy_models,
        indexes_dir=pins_indexes,
        request_timeout_s=0.02,
        warm_start_queries=0,
    )
    with TestClient(create_app(settings, live)) as client:
        threading.Timer(0.5, encoder.gate.set).start()
        answer = client.get("/search?q=bread", headers={"request-timeout-ms": "999999"})
    assert answer.status_code == 504


async def test_texts_of_concurrent_requests_share_a_batch(stage: Stage) -> None:
    first = stage.search("bread")
    await stage.until(lambda: len(stage.encoder.batches) == 1)
    others = [stage.search(text) for text in ("garden", "coffee", "lamp")]
    await stage.until(lambda: stage.services.batcher.waiting == 3)
    stage.encoder.gate.set()
    assert {each.status_code for each in await asyncio.gather(first, *others)} == {200}
    assert [sorted(batch) for batch in stage.encoder.batches] == [
        ["bread"],
        ["coffee", "garden", "lamp"],
    ]


async def test_queued_work_of_a_client_who_hangs_up_is_dropped(stage: Stage) -> None:
    first = stage.search("bread")
    await stage.until(lambda: len(stage.encoder.batches) == 1)
    hangs_up = asyncio.Event()
    messages = [{"type": "http.request", "body": b"", "more_body": False}]
    sent: list[Any] = []

    async def receive() -> Any:
        if messages:
            return messages.pop()
        await hangs_up.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET",
        "scheme": "http", "path": "/search", "raw_path": b"/search", "query_string": b"q=garden",
        "root_path": "", "headers": [], "client": ("127.0.0.1", 1), "server": ("test", 80),
    }  # fmt: skip
    request = asyncio.create_task(stage.call(scope, receive, send))
    await stage.until(lambda: stage.services.batcher.waiting == 1)
    hangs_up.set()
    await request
    assert sent[0]["status"] == 408
    assert stage.dropped("left") == 1
    stage.encoder.gate.set()
    assert (await first).status_code == 200
    assert stage.encoder.batches == [["bread"]]


@pytest.mark.parametrize("value", ["0", "-1", "1.5", "soon", "", "9999999999", "１"])
def test_a_timeout_that_is_no_number_of_milliseconds_is_refused(
    client: TestClient, value: str
) -> None:
    answer = client.get("/search?q=bread", headers={b"request-timeout-ms": value.encode()})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_timeout")


def test_a_request_with_time_enough_is_answered(client: TestClient) -> None:
    started = time.monotonic()
    answer = client.get("/search?q=bread+rolls", headers={"request-timeout-ms": "60000"})
    assert answer.status_code == 200
    assert time.monotonic() - started < 60


def test_the_document_tells_of_the_timeout_header(client: TestClient) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    for path, method in (("/recommend", "post"), ("/search", "get")):
        names = {each["name"] for each in paths[path][method]["parameters"]}
        assert "Request-Timeout-Ms" in names
        assert "504" in paths[path][method]["responses"]
