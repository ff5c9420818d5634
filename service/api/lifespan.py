"""What the service opens at start and closes at the end, in one function."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypedDict

from fastapi import FastAPI

from service.access.keyring import Keyring
from service.api.batcher import QueryBatcher
from service.api.caches import open_cache, watch_room
from service.api.compute import ComputePool
from service.api.cursor import Cursors
from service.api.deadlines import Deadlines
from service.api.doorman import Doorman
from service.api.gate import Gate
from service.api.guard import Guard
from service.api.metrics import Metrics
from service.api.readiness import Readiness
from service.cache.breaker import BreakerState
from service.cache.local import LocalCache
from service.cache.popular import Popular
from service.cache.tiers import TieredCache
from service.encoders.custody import check_custody
from service.encoders.exports import ExportManifest, find_export
from service.encoders.onnx_encoder import OnnxEncoder
from service.index.live import Live, Serving
from service.index.manifest import Manifest
from service.settings import Settings
from service.types import ModelIdentity, Query

_log = logging.getLogger(__name__)

# What one process accepts, the others show within a second; most of the time one `stat` each.
_CHANGES_INTERVAL_S = 0.25
# Where the model and the event loop want one core, the loop gets two thirds of it: while most
# requests are refused, refusals would otherwise take the half that answers need.
_ENCODING_NICENESS = 3
# Of several workers one is asked for the figures of all.
_FIGURES_INTERVAL_S = 1.0
# A revoked key is refused by every process this long after `magpie key revoke`.
_KEYS_INTERVAL_S = 1.0


# Of questions that are counted only some prove to be frequent.
_COUNTED_A_WARM_QUERY = 4
_WARM_GRACE_S = 1.0
_BREAKER_LEVEL: dict[BreakerState, int] = {"closed": 0, "half_open": 1, "open": 2}


@dataclass(frozen=True, slots=True)
class Services:
    """Everything a request may use. One per process, alive from start to shutdown."""

    settings: Settings
    guard: Guard
    live: Live
    cache: TieredCache
    compute: ComputePool
    """For rankings."""
    encoding: ComputePool
    """Threads of their own: a ranking takes less than a millisecond, a batch of texts many."""
    batcher: QueryBatcher
    gate: Gate
    """Where rankings wait for their turn."""
    commits: ComputePool
    """One thread, as changes are stored one after the other."""
    metrics: Metrics
    cursors: Cursors
    deadlines: Deadlines
    """Of all callers that wait."""
    repeats: LocalCache
    """Requests, to the byte, that were answered: their cache key and route."""
    popular: Popular[Query]
    """What is asked most; a new version answers it before it goes live."""
    readiness: Readiness
    doorman: Doorman


class State(TypedDict):
    """What `request.state` holds."""

    services: Services


def open_live(settings: Settings) -> Live:
    """Open the published index and the encoder that made it.

    Raises:
        VersionNotFound: nothing is published.
        CorruptArtifact, ModelMismatch, ModelNotFound: the chain from model to index is broken.
    """

    def open_encoder(identity: ModelIdentity) -> OnnxEncoder:
        export = find_export(settings.models_dir, identity)
        return OnnxEncoder.open(export, threads=settings.encoder_threads)

    def check(manifest: Manifest) -> None:
        export = ExportManifest.read(find_export(settings.models_dir, manifest.model))
        check_custody(settings.models_dir, export, index_lock=manifest.model_lock)

    return Live(
        settings.indexes_dir,
        settings.catalogue,
        open_encoder,
        check,
        fresh_max=settings.fresh_items_max,
    )


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[State]:
    """Open the index, the encoder, the cache and the watcher; close them in reverse."""
    settings: Settings = app.state.settings
    metrics: Metrics = app.state.metrics
    readiness: Readiness = app.state.readiness
    guard: Guard = app.state.guard
    live: Live = app.state.live or await asyncio.to_thread(open_live, settings)
    _note_version(live, metrics)
    cache = open_cache(settings)
    if cache.redis is not None:
        guard.limiter.share(cache.redis)
    repeats = LocalCache(max_bytes=settings.cache_bytes // 8, ttl_s=settings.cache_ttl_s)
    compute = ComputePool(settings.compute_threads, settings.compute_queue)
    encoding = ComputePool(
        settings.compute_threads, settings.compute_queue, niceness=_ENCODING_NICENESS
    )
    batcher = QueryBatcher(
        encoding,
        metrics,
        batch_tokens=settings.batch_tokens,
        queue_tokens=settings.queue_tokens,
        wait_s=settings.queue_wait_s,
        batches_at_once=settings.compute_threads,
    )
    gate = Gate(compute, wait_s=settings.queue_wait_s, on_wait=metrics.admission_wait.observe)
    own_key = settings.cursor_key
    cursors = Cursors(None if own_key is None else own_key.get_secret_value().encode())
    commits = ComputePool(1, settings.compute_queue)
    popular: Popular[Query] = Popular(_COUNTED_A_WARM_QUERY * settings.warm_queries)
    services = Services(
        settings,
        guard,
        live,
        cache,
        compute,
        encoding,
        batcher,
        gate,
        commits,
        metrics,
        cursors,
        Deadlines(),
        repeats,
        popular,
        readiness,
        Doorman(gate, batcher, live, repeats, metrics),
    )
    # Here, as it needs what stands above.
    from service.api.warmup import warm_start, warm_version

    await warm_start(services)
    watchers = [
        *([asyncio.create_task(watch_room(cache.redis))] if cache.redis is not None else []),
        asyncio.create_task(_watch(services, warm_version)),
        asyncio.create_task(_watch_changes(live)),
    ]
    if settings.workers > 1:
        watchers.append(asyncio.create_task(_watch_figures(services)))
    if guard.keyring is not None:
        watchers.append(asyncio.create_task(_watch_keys(guard.keyring)))
    readiness.is_warm = True
    try:
        yield {"services": services}
    finally:
        for watcher in watchers:
            watcher.cancel()
        await asyncio.gather(*watchers, return_exceptions=True)
        await batcher.aclose()
        commits.close()
        encoding.close()
        compute.close()
        await cache.aclose()


def update_figures(services: Services) -> None:
    """Carry over to the metrics what is counted elsewhere."""
    metrics, redis = services.metrics, services.cache.redis
    metrics.fresh_items.set(len(services.live.current.shelf.fresh.items))
    waiting = services.gate.waiting + services.batcher.waiting
    metrics.queue_depth.set(services.compute.pending + services.encoding.pending + waiting)
    metrics.caches.update(services.cache, services.repeats)
    if redis is not None:
        metrics.breaker.labels("redis").set(_BREAKER_LEVEL[redis.breaker_state])


async def _watch_figures(services: Services) -> None:
    while True:
        await asyncio.sleep(_FIGURES_INTERVAL_S)
        update_figures(services)


_Warm = Callable[[Serving, Services], Awaitable[int]]


async def _watch(services: Services, warm: _Warm) -> None:
    while True:
        await asyncio.sleep(services.settings.reload_interval_s)
        await follow(services, warm)


async def follow(services: Services, warm: _Warm) -> bool:
    """Take over the published version if it changed; returns whether it was taken over.

    Whatever goes wrong is counted and logged, and the version in use goes on.
    """
    live, metrics = services.live, services.metrics
    loop = asyncio.get_running_loop()

    def prepare(serving: Serving) -> None:
        """Runs on a thread, which waits while the event loop answers what is asked most."""
        warming = asyncio.run_coroutine_threadsafe(_count_warm(serving), loop)
        try:
            warming.result(services.settings.warm_limit_s + _WARM_GRACE_S)
        except Exception:
            # The edge of the background: a version that is not warm is served all the same.
            warming.cancel()
            _log.exception("%s goes live without having been asked", serving.snapshot.name)

    async def _count_warm(serving: Serving) -> None:
        answered = await warm(serving, services)
        metrics.warmed.inc(answered)
        _log.info("%s answered %d questions before it goes live", serving.snapshot.name, answered)

    try:
        if not await asyncio.to_thread(live.refresh, prepare):
            return False
    except Exception:
        # The edge of the background: whatever went wrong, the version in use goes on.
        metrics.swaps.labels("failed").inc()
        _log.exception("could not look for a new index version; serving the present one")
        return False
    metrics.swaps.labels("accepted").inc()
    _note_version(live, metrics)
    return True


async def _watch_changes(live: Live) -> None:
    while True:
        await asyncio.sleep(_CHANGES_INTERVAL_S)
        try:
            await asyncio.to_thread(live.catch_up)
        except Exception:
            # The edge of the background, as above.
            _log.exception("could not look for changed items; serving them as they were")


async def _watch_keys(keyring: Keyring) -> None:
    while True:
        await asyncio.sleep(_KEYS_INTERVAL_S)
        try:
            await asyncio.to_thread(keyring.refresh)
        except Exception:
            # The edge of the background, as above.
            _log.exception("could not look at the keys; they stay as they were")


def _note_version(live: Live, metrics: Metrics) -> None:
    snapshot = live.current.snapshot
    manifest = snapshot.manifest
    metrics.serve_version(snapshot.name, str(manifest.model), manifest.created_at.timestamp())
    _log.info("serving %s with %s", snapshot.name, manifest.model)
