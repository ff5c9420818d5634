"""What the caches count, as Prometheus metrics."""

from collections.abc import Mapping
from typing import TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge

from service.cache.local import LocalCache
from service.cache.redis import RedisCache
from service.cache.tiers import TieredCache

_Label = TypeVar("_Label", bound=str)


class _Totals:
    """A counter that follows totals which somebody else counts, by one label."""

    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self._seen: dict[tuple[str, ...], float] = {}

    def follow(self, totals: Mapping[tuple[str, ...], float]) -> None:
        for labels, total in totals.items():
            child, seen = self._counter.labels(*labels), self._seen.get(labels, 0.0)
            # Less than before: whoever counts has begun anew.
            child.inc(total - seen if total >= seen else total)
            self._seen[labels] = total


class CacheMetrics:
    """Tells what the caches hold and what became of questions to them.

    The caches count for themselves, as that is cheap; `update` carries it over.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        def gauge(name: str, text: str, label: str, mode: str) -> Gauge:
            return Gauge(
                f"rec_cache_{name}",
                text,
                (label,),
                registry=registry,
                multiprocess_mode=mode,  # type: ignore[arg-type]
            )

        def totals(name: str, text: str, *labels: str) -> _Totals:
            return _Totals(Counter(f"rec_cache_{name}", text, labels, registry=registry))

        self._held = gauge("held_bytes", "Memory of the stores in process.", "store", "livesum")
        self._entries = gauge("entries", "Values in the stores in process.", "store", "livesum")
        self._server = gauge(
            "server_bytes", "Memory of the Redis server; `max` 0: no bound.", "kind", "livemax"
        )
        self._evictions = totals("evictions", "Values pushed out before their end.", "store")
        self._lookups = totals("lookups", "Lookups by store and result.", "store", "result")
        self._refreshes = totals(
            "early_refreshes",
            "Values made anew before their end: `made`, `found` in Redis, `failed`, `dropped`.",
            "result",
        )
        self._skipped = totals("skipped", "Questions too cheap for a trip to Redis.", "tier")
        self._failures = totals(
            "failures", "Questions to Redis without an answer, by reason.", "reason"
        )
        self._writes = totals(
            "writes", "Values for Redis: `stored`, or `dropped` unsent.", "result"
        )
        self._connects = totals("connects", "Attempts to connect to Redis.", "tier")

    def update(self, cache: TieredCache, repeats: LocalCache) -> None:
        """Read all counters of both tiers and of the memory of requests."""
        stores = {"local": cache.local, "negative": cache.negatives, "repeats": repeats}
        for name, store in stores.items():
            stats = store.stats
            self._held.labels(name).set(stats.held_bytes)
            self._entries.labels(name).set(stats.entries)
            self._evictions.follow({(name,): stats.evictions})
            self._lookups.follow({(name, "hit"): stats.hits, (name, "miss"): stats.misses})
        tiers = cache.stats
        self._refreshes.follow({("made",): 0.0, **_by_one_label(tiers.refreshes)})
        self._skipped.follow({("redis",): tiers.skipped})
        if cache.redis is not None:
            self._update_redis(cache.redis, tiers.dropped_writes)

    def _update_redis(self, redis: RedisCache, dropped_writes: int) -> None:
        stats = redis.stats
        self._lookups.follow({("redis", "hit"): stats.hits, ("redis", "miss"): stats.misses})
        self._failures.follow({("open",): 0.0, **_by_one_label(stats.failures)})
        self._writes.follow({("stored",): stats.writes, ("dropped",): dropped_writes})
        self._connects.follow({("redis",): stats.connects})
        if redis.room is not None:
            self._server.labels("used").set(redis.room.used_bytes)
            self._server.labels("max").set(redis.room.max_bytes)


def _by_one_label(totals: Mapping[_Label, int]) -> dict[tuple[str, ...], float]:
    return {(name,): float(total) for name, total in totals.items()}
