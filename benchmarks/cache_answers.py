"""The same answers computed and from Redis, and the memory that they take in both tiers."""

import asyncio
import statistics
import time
import tracemalloc
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field

from redis.asyncio import Redis

from benchmarks import http_catalogue as catalogue
from benchmarks.http_cases import K, search_texts
from service.api.answer import answer
from service.api.app import create_app
from service.api.caller import Caller
from service.api.express import Express
from service.api.lifespan import Services
from service.api.question import Question
from service.cache.local import ENTRY_OVERHEAD_BYTES, LocalCache
from service.settings import Settings
from service.types import Filter, ItemId, Match, Query, Seed

_QUESTIONS = 300
_CALLERS = 8
_PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class Answers:
    """By kind: processor time in µs, and bytes: of the answer, and of an entry in each tier.

    `counted_share`: what the process counts for its entries, of what they really take.
    """

    computed_us: dict[str, float] = field(default_factory=dict)
    redis_us: dict[str, float] = field(default_factory=dict)
    body_bytes: dict[str, float] = field(default_factory=dict)
    local_bytes: dict[str, float] = field(default_factory=dict)
    server_bytes: dict[str, float] = field(default_factory=dict)
    counted_share: float = 0.0

    def figures(self) -> dict[str, object]:
        """For the JSON file."""
        return asdict(self)


async def measure_answers(url: str, made: str, texts: str, rounds: int) -> Answers:
    """Answer questions of every kind with nothing cached, and again from Redis.

    Args:
        url: of an empty Redis.
        made, texts: catalogues with made vectors and with encoded texts.
        rounds: how often; medians are kept.
    """
    found = Answers()
    shares = []
    for name, kinds in ((made, _item_kinds()), (texts, _text_kinds())):
        async with _serving(name, None) as plain, _serving(name, url) as cached:
            for kind, questions in kinds.items():
                await _measure(kind, questions, plain, cached, url, rounds, found)
                shares.append(_counted_share(found.body_bytes[kind]))
    return Answers(**{**_fields(found), "counted_share": min(shares)})  # type: ignore[arg-type]


def _fields(found: Answers) -> dict[str, object]:
    return {name: getattr(found, name) for name in Answers.__slots__}


def _item_kinds() -> dict[str, list[Query]]:
    def seed(number: int) -> Seed:
        return Seed(ItemId(catalogue.item_id(number * 97)))

    numbers = range(_QUESTIONS)
    category = Filter(must=(Match("category", (catalogue.category(3),)),))
    return {
        "item": [Query(like=(seed(n),), k=K) for n in numbers],
        "item, filter": [Query(like=(seed(n),), k=K, filter=category) for n in numbers],
        "board, diversity, explain": [
            Query(like=(seed(n), seed(n + 1), seed(n + 2)), k=K, diversity=0.3, explain=True)
            for n in numbers
        ],
    }


def _text_kinds() -> dict[str, list[Query]]:
    return {"text": [Query(text=text, k=K) for text in list(search_texts(_QUESTIONS))]}


async def _measure(
    kind: str,
    questions: Sequence[Query],
    plain: Services,
    cached: Services,
    url: str,
    rounds: int,
    found: Answers,
) -> None:
    client = Redis.from_url(url)
    await client.flushdb()
    # Each question once, so that what is measured below is in Redis.
    await _cost_us(questions, cached, "miss")
    await cached.cache.settle()
    computed, fetched = [], []
    for _ in range(rounds):
        computed.append(await _cost_us(questions, plain, "miss"))
        fetched.append(await _cost_us(questions, cached, "redis"))
    found.computed_us[kind] = statistics.median(computed)
    found.redis_us[kind] = statistics.median(fetched)
    answers = [await _body(each, cached) for each in questions]
    bodies = [len(body) for body, _ in answers]
    sizes = [await client.memory_usage(key) for _, key in answers]
    found.body_bytes[kind] = statistics.mean(bodies)
    found.local_bytes[kind] = statistics.mean(bodies) + len(answers[0][1]) + ENTRY_OVERHEAD_BYTES
    found.server_bytes[kind] = statistics.mean(size or 0 for size in sizes)
    await client.aclose()


async def _cost_us(questions: Sequence[Query], services: Services, tier: str) -> float:
    left = iter(questions)
    tiers = set()

    async def ask() -> None:
        for query in left:
            caller = Caller.nobody(_PATIENCE_S, services.deadlines)
            tiers.add((await answer(Question(query), services, caller)).cache)

    started = time.process_time()
    await asyncio.gather(*(ask() for _ in range(_CALLERS)))
    spent_s = time.process_time() - started
    assert tiers == {tier}, tiers
    return spent_s / len(questions) * 1e6


async def _body(query: Query, services: Services) -> tuple[bytes, bytes]:
    caller = Caller.nobody(_PATIENCE_S, services.deadlines)
    found = await answer(Question(query), services, caller)
    assert found.body is not None
    return found.body, found.key


@asynccontextmanager
async def _serving(name: str, url: str | None) -> AsyncIterator[Services]:
    settings = Settings.model_validate(
        {
            "catalogue": name,
            "indexes_dir": catalogue.folder_of(name) / "indexes",
            "cache_bytes": 0,
            "redis_url": url,
            "redis_min_cost_ms": 0,
            "warm_queries": 0,
        }
    )
    express = create_app(settings).app
    assert isinstance(express, Express)
    app = express.app
    async with app.router.lifespan_context(app) as state:
        assert state is not None
        yield state["services"]


def _counted_share(body_bytes: float) -> float:
    """Fill a local cache, and compare what it counts with what Python's allocator gave."""
    cache = LocalCache(max_bytes=1 << 30, ttl_s=60)
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    for number in range(2_000):
        cache.put(b"%049d" % number, bytes(round(body_bytes)))
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return cache.stats.held_bytes / (after - before)
