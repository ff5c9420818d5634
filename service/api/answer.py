"""The one function that every route calls: cache → encode → recommend → render."""

import time
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field

import numpy as np
import orjson

from service.api.caller import Caller
from service.api.lifespan import Services
from service.api.render import compose, render
from service.cache.keys import cache_key
from service.cache.tiers import Made
from service.encoders.no_encoder import NoEncoder
from service.index.live import Serving
from service.recommend.engine import recommend
from service.types import Query, Recommendations, Vector

# Up to here the engine takes less time on the event loop than a hand-over to a thread.
_INLINE_K = 100
_INLINE_ITEMS = 20_000


@dataclass(frozen=True, slots=True)
class Answer:
    """The bytes of an answer and where its time went."""

    body: bytes
    cache: str
    """Which tier had it: `local`, `redis`, `negative`, or `miss`."""
    key: bytes
    """What the cache knows it by."""
    timings_ms: Mapping[str, float] = field(default_factory=dict)

    def server_timing(self) -> str:
        """The Server-Timing header: total first, then the stages."""
        stages = [f"{name};dur={spent:.3f}" for name, spent in self.timings_ms.items()]
        return ", ".join([*stages, f'cache;desc="{self.cache}"'])


async def answer(
    query: Query, services: Services, caller: Caller, serving: Serving | None = None
) -> Answer:
    """Answer a validated query from the index version that is current now.

    Args:
        query: what is asked.
        services: what the lifespan opened.
        caller: who asks; its id goes into the body.
        serving: another version than the current one, asked by ourselves before it goes live;
            then the answer is stored and not counted.

    Raises:
        InvalidFilter: the filter does not fit the catalogue.
        Overloaded: too much work is waiting.
        DeadlineExceeded: the caller waits no longer.
        RequestRefused: the caller has left while the query waited.
        EncodingFailed: the model gave no usable vector for the text.
    """
    started = time.perf_counter()
    # Taken once: every part of one answer comes from one version and one state of its changes,
    # whatever is published or put meanwhile.
    is_ours = serving is not None
    serving = serving or services.live.current
    timings: dict[str, float] = {}

    async def refresh() -> Made:
        async with Caller.nobody(services.settings.request_timeout_s) as nobody:
            return await _make(query, serving, services, nobody, {})

    name = orjson.dumps(query)
    # The revision moves with every change and every expiry, so what is gone is in no cached answer.
    # The revision of a user's history will stand beside it.
    key = cache_key(b"answer", serving.snapshot.name, serving.shelf.revision, name)
    async with caller:
        cached = await services.cache.get_or_compute(
            key,
            lambda: _make(query, serving, services, caller, timings),
            refresh=refresh,
            kind=_kind(query),
        )
    body, degraded = compose(cached.value, caller.request_id.encode("ascii"), cached.degraded)
    total_ms = (time.perf_counter() - started) * 1e3
    if not is_ours:
        services.popular.note(name, query, key)
        _count(services, cached.tier, degraded, timings)
    return Answer(body, cached.tier, key, {"total": total_ms, **timings})


async def _make(
    query: Query,
    serving: Serving,
    services: Services,
    caller: Caller,
    timings: dict[str, float],
) -> Made:
    """Compute an answer, as the cache keeps it; `timings` gets its stages in milliseconds.

    Raises:
        MagpieError: as `answer`.
    """
    text_vector = await _text_vector(query.text, serving, services, caller, timings)
    found = await _recommend(query, serving, services, caller, text_vector)
    timings.update(found.timings_ms)
    # Nothing that was asked for exists: such answers are as many as there are wrong ids.
    is_negative = bool(query.like) and found.source == "fallback"
    return Made(render(query, found, serving.shelf), is_negative)


def _kind(query: Query) -> Hashable:
    """What decides how long an answer takes, roughly: queries of a kind cost about the same."""
    seeds = len(query.like) + len(query.dislike)
    return (
        query.text is not None,
        seeds.bit_length(),
        query.k.bit_length(),
        query.diversity > 0,
        bool(query.filter),
        query.explain,
    )


async def _text_vector(
    text: str | None,
    serving: Serving,
    services: Services,
    caller: Caller,
    timings: dict[str, float],
) -> Vector | None:
    if text is None:
        return None
    if isinstance(serving.encoder, NoEncoder):
        # Refused here: the batcher would tell it as a failure of the model, and as ours.
        serving.encoder.encode_queries([text])
    started = time.perf_counter()

    async def encode() -> Made:
        caller.watch()
        vector = await services.batcher.encode(text, serving.encoder, caller.deadline)
        return Made(vector.astype("<f4").tobytes())

    # A vector outlives the index version: it depends on the text and the model alone.
    key = cache_key(b"text", serving.encoder.identity.digest, text)
    cached = await services.cache.get_or_compute(key, encode, kind="text")
    timings["encode"] = (time.perf_counter() - started) * 1e3
    return np.frombuffer(cached.value, dtype="<f4").astype(np.float32)


async def _recommend(
    query: Query,
    serving: Serving,
    services: Services,
    caller: Caller,
    text_vector: Vector | None,
) -> Recommendations:
    shelf = serving.shelf
    cheap = query.k <= _INLINE_K and not query.diversity and len(shelf) <= _INLINE_ITEMS
    if cheap:
        return recommend(query, shelf, text_vector)
    caller.watch()
    return await services.compute.run(lambda: recommend(query, shelf, text_vector))


def _count(
    services: Services, tier: str, degraded: tuple[str, ...], timings: Mapping[str, float]
) -> None:
    metrics = services.metrics
    metrics.cache.labels(tier).inc()
    metrics.queue_depth.set(services.compute.pending + services.batcher.waiting)
    for reason in degraded:
        metrics.degraded.labels(reason).inc()
    for stage, spent_ms in timings.items():
        metrics.stages.labels(stage).observe(spent_ms / 1e3)
