"""What a new index version finds when it goes live: warm caches, and no repeats of the old one."""

import asyncio
import shutil
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from service.api.app import create_app
from service.api.express import Express
from service.api.lifespan import Services, open_live
from service.catalogue.column_map import ColumnMap
from service.catalogue.text import TextTemplate
from service.encoders.encoder import Encoder
from service.index.live import Live, Serving
from service.index.publish import publish, rollback
from service.pipelines.build_index import build
from service.settings import Settings
from service.types import Vectors

NOW = datetime(2026, 11, 2, tzinfo=UTC)
TITLES = ["rye bread", "white bread", "flower pot", "garden stand", "kitchen knife", "bread board"]


@dataclass(frozen=True)
class Shop:
    """Two versions of a catalogue, and a service of the first."""

    settings: Settings
    versions: list[str]

    def publish(self, version: str) -> None:
        rollback(self.settings.indexes_dir, "shop", version, now=NOW)

    @asynccontextmanager
    async def serving(
        self, live: Live | None = None, **changes: object
    ) -> AsyncIterator[tuple[httpx.AsyncClient, Services]]:
        app = create_app(self.settings.model_copy(update=changes), live)
        assert isinstance(app.app, Express)
        async with app.app.app.router.lifespan_context(app.app.app) as state:
            assert state is not None

            async def with_state(scope: Any, receive: Any, send: Any) -> None:
                await app({**scope, "state": dict(state)}, receive, send)

            transport = httpx.ASGITransport(with_state, client=("127.0.0.1", 1))
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                yield client, state["services"]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, toy_models: Path) -> tuple[Path, list[str]]:
    folder = tmp_path_factory.mktemp("shop")
    versions = []
    for number in (1, 2):
        source = folder / f"{number}.jsonl"
        titles = [*TITLES, "bread knife"][: len(TITLES) + number - 1]
        rows = [{"id": f"i{n}", "title": f"{each} v{number}"} for n, each in enumerate(titles)]
        source.write_bytes(b"\n".join(map(orjson.dumps, rows)))
        result = build(
            source,
            ColumnMap(id="id", text=TextTemplate("{title}")),
            name="shop",
            models=toy_models,
            indexes=folder / "indexes",
            model_id="toy",
            now=NOW + timedelta(minutes=number),
        )
        versions.append(result.version)
    for version in reversed(versions):
        publish(folder / "indexes", "shop", version, now=NOW)
    return folder / "indexes", versions


@pytest.fixture
def shop(built: tuple[Path, list[str]], tmp_path: Path, toy_models: Path) -> Shop:
    indexes, versions = built
    shutil.copytree(indexes, tmp_path / "indexes")
    settings = Settings(
        models_dir=toy_models,
        indexes_dir=tmp_path / "indexes",
        catalogue="shop",
        reload_interval_s=0.02,
    )
    return Shop(settings, versions)


async def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


def tier(response: httpx.Response) -> str:
    return response.headers["server-timing"].partition('cache;desc="')[2].rstrip('"')


FREQUENT = [("/items/i0/similar?k=2", 5), ("/search?q=white+bread&k=2", 4)]


async def test_most_frequent_questions_are_answered_before_a_version_goes_live(shop: Shop) -> None:
    async with shop.serving(warm_queries=2) as (client, services):
        for path, times in [*FREQUENT, ("/items/i3/similar?k=2", 1)]:
            for _ in range(times):
                assert (await client.get(path)).status_code == 200
        shop.publish(shop.versions[1])
        await until(lambda: services.live.current.snapshot.version == shop.versions[1])
        answers = [await client.get(path) for path, _ in FREQUENT]
        assert [tier(answer) for answer in answers] == ["local", "local"]
        for answer in answers:
            body = answer.json()
            assert body["index"] == f"shop@{shop.versions[1]}"
            assert all(item["fields"]["title"].endswith("v2") for item in body["items"])
        assert tier(await client.get("/items/i3/similar?k=2")) == "miss"


async def test_nothing_is_asked_beforehand_where_that_is_switched_off(shop: Shop) -> None:
    async with shop.serving(warm_queries=0) as (client, services):
        path, _ = FREQUENT[0]
        await client.get(path)
        shop.publish(shop.versions[1])
        await until(lambda: services.live.current.snapshot.version == shop.versions[1])
        assert tier(await client.get(path)) == "miss"


async def test_asking_beforehand_is_not_counted_as_traffic(shop: Shop) -> None:
    async with shop.serving(warm_queries=9) as (client, services):
        await client.get(FREQUENT[0][0])
        shop.publish(shop.versions[1])
        await until(lambda: services.live.current.snapshot.version == shop.versions[1])
        metrics = (await client.get("/metrics")).text
        assert 'rec_cache_requests_total{result="miss"} 1.0' in metrics
        assert "rec_warmed_total 1.0" in metrics


class GatedEncoder:
    """Encodes as another does, while its gate is open."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self.identity = encoder.identity
        self.dim = encoder.dim
        self.max_tokens = encoder.max_tokens
        self.gate = threading.Event()
        self.gate.set()
        self.is_waited_for = False

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        self.is_waited_for = not self.gate.is_set()
        assert self.gate.wait(20)
        return self._encoder.encode_queries(texts)

    def encode_items(self, texts: Sequence[str]) -> Vectors:
        return self._encoder.encode_items(texts)


async def test_version_goes_live_though_a_question_does_not_end(shop: Shop) -> None:
    encoder = GatedEncoder(open_live(shop.settings).current.encoder)
    live = Live(shop.settings.indexes_dir, "shop", lambda identity: encoder)
    # Without a cache every text has to be encoded again.
    settings: dict[str, object] = {"warm_limit_s": 0.2, "cache_bytes": 0}
    async with shop.serving(live, **settings) as (client, services):
        for path, _ in FREQUENT:
            assert (await client.get(path)).status_code == 200
        encoder.gate.clear()
        try:
            shop.publish(shop.versions[1])
            await until(lambda: services.live.current.snapshot.version == shop.versions[1])
            assert encoder.is_waited_for
        finally:
            encoder.gate.set()
        assert (await client.get(FREQUENT[0][0])).json()["index"] == f"shop@{shop.versions[1]}"


class SwappingLive(Live):
    """Takes over what is published at the n-th look, as if the watcher had come at that moment."""

    looks_until_swap: int | None = None

    @property
    def current(self) -> Serving:
        if self.looks_until_swap is not None:
            self.looks_until_swap -= 1
            if self.looks_until_swap < 0:
                self.looks_until_swap = None
                assert self.refresh()
        return super().current


async def test_repeat_of_a_request_that_straddled_a_swap_is_of_the_version_served(
    shop: Shop,
) -> None:
    """The front looks at the version first, the answer comes from the next one."""
    live = SwappingLive(
        shop.settings.indexes_dir, "shop", lambda _: open_live(shop.settings).current.encoder
    )
    async with shop.serving(live, reload_interval_s=3600.0) as (client, _):
        first, second = (f"shop@{version}" for version in shop.versions)
        path = "/items/i1/similar?k=2"
        shop.publish(shop.versions[1])
        live.looks_until_swap = 1
        assert (await client.get(path)).json()["index"] == second
        shop.publish(shop.versions[0])
        assert live.refresh()
        for _ in range(2):
            body = (await client.get(path)).json()
            assert body["index"] == first
            assert all(item["fields"]["title"].endswith("v1") for item in body["items"])


async def test_repeat_is_of_the_version_served_after_every_swap(shop: Shop) -> None:
    live = Live(
        shop.settings.indexes_dir, "shop", lambda _: open_live(shop.settings).current.encoder
    )
    async with shop.serving(live, reload_interval_s=3600.0) as (client, _):
        for turn in range(6):
            for _ in range(3):
                body = (await client.get("/items/i1/similar?k=2")).json()
                assert body["index"] == f"shop@{shop.versions[turn % 2]}"
            shop.publish(shop.versions[(turn + 1) % 2])
            assert live.refresh()


async def test_unknown_item_is_remembered_and_found_as_soon_as_a_version_brings_it(
    shop: Shop,
) -> None:
    async with shop.serving() as (client, services):
        page, asked = "/items/i6/similar?k=2", {"like": ["i6"], "k": 2}
        for tiers in (["miss", "local"], ["negative", "negative"]):
            assert (await client.get(page)).status_code == 404
            answer = await client.post("/recommend", json=asked)
            assert answer.json()["missing"] == ["i6"]
            assert tier(answer) in tiers
        assert services.cache.negatives.stats.hits == 2
        shop.publish(shop.versions[1])
        await until(lambda: services.live.current.snapshot.version == shop.versions[1])
        found = await client.get(page)
        assert found.status_code == 200
        answer = await client.post("/recommend", json=asked)
        assert answer.json()["missing"] == []
        assert answer.json()["source"] == "similar"


async def test_refusal_from_memory_is_the_refusal_of_the_route(shop: Shop) -> None:
    async with shop.serving() as (client, _):
        first, again = [
            await client.get("/items/none/similar", headers={"x-request-id": "mine"})
            for _ in range(2)
        ]
        assert first.json() == again.json()
        assert first.status_code == again.status_code == 404
        assert dict(first.headers) == dict(again.headers)
        metrics = (await client.get("/metrics")).text
        assert 'rec_cache_requests_total{result="negative"} 1.0' in metrics
        assert 'route="/items/{item_id:path}/similar",status_class="4xx"} 2.0' in metrics


async def test_wrong_ids_push_out_no_answer_to_right_ones(shop: Shop) -> None:
    async with shop.serving(cache_bytes=64_000) as (client, services):
        page = "/items/i1/similar?k=2"
        await client.get(page)
        for number in range(200):
            await client.get(f"/items/no-{number}/similar")
            await client.post("/recommend", json={"like": [f"no-{number}"], "k": 2})
        assert tier(await client.get(page)) == "local"
        assert services.cache.negatives.stats.held_bytes <= 4_000
        assert services.cache.negatives.stats.evictions > 100
