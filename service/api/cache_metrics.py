"""The counters of the caches as Prometheus metrics, read from them at every scrape."""

from collections.abc import Iterator, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from service.cache.local import LocalCache, LocalStats
from service.cache.redis import RedisCache
from service.cache.tiers import TieredCache


class CacheCollector(Collector):
    """Tells what the caches hold and what became of questions to them.

    Args:
        cache: both tiers.
        repeats: the memory of requests.
    """

    def __init__(self, cache: TieredCache, repeats: LocalCache) -> None:
        self._cache = cache
        self._stores = {"local": cache.local, "negative": cache.negatives, "repeats": repeats}

    def collect(self) -> Iterator[Metric]:
        """Read all counters."""
        stores = {name: store.stats for name, store in self._stores.items()}
        redis = self._cache.redis
        tiers = self._cache.stats
        yield _gauge("held_bytes", "Memory that a store of this process holds.", "store", {
            name: stats.held_bytes for name, stats in stores.items()
        })  # fmt: skip
        yield _gauge("entries", "Values that a store of this process holds.", "store", {
            name: stats.entries for name, stats in stores.items()
        })  # fmt: skip
        yield _counter("evictions", "Values pushed out before their end.", "store", {
            name: stats.evictions for name, stats in stores.items()
        })  # fmt: skip
        yield _lookups(stores, redis)
        yield _counter(
            "early_refreshes",
            "Values made anew before their end: `made`, `found` in Redis, `failed`, `dropped`.",
            "result",
            {"made": 0.0, **dict[str, float](tiers.refreshes.items())},
        )
        yield _counter("skipped", "Questions too cheap for a trip to Redis.", "tier", {
            "redis": tiers.skipped
        })  # fmt: skip
        if redis is not None:
            yield from _redis(redis, tiers.dropped_writes)


def _lookups(stores: Mapping[str, LocalStats], redis: RedisCache | None) -> Metric:
    found = CounterMetricFamily(
        "rec_cache_lookups", "Lookups by store and result.", labels=("store", "result")
    )
    for name, stats in stores.items():
        found.add_metric((name, "hit"), stats.hits)
        found.add_metric((name, "miss"), stats.misses)
    if redis is not None:
        found.add_metric(("redis", "hit"), redis.stats.hits)
        found.add_metric(("redis", "miss"), redis.stats.misses)
    return found


def _redis(redis: RedisCache, dropped_writes: int) -> Iterator[Metric]:
    stats = redis.stats
    yield _counter("failures", "Questions to Redis without an answer, by reason.", "reason", {
        "open": 0.0, **dict[str, float](stats.failures.items())
    })  # fmt: skip
    yield _counter("writes", "Values for Redis: `stored`, or `dropped` unsent.", "result", {
        "stored": stats.writes, "dropped": dropped_writes
    })  # fmt: skip
    yield _counter("connects", "Attempts to connect to Redis.", "tier", {"redis": stats.connects})
    if redis.room is not None:
        yield _gauge("server_bytes", "Memory of the Redis server; `max` 0: no bound.", "kind", {
            "used": redis.room.used_bytes, "max": redis.room.max_bytes
        })  # fmt: skip


def _gauge(name: str, text: str, label: str, values: Mapping[str, float]) -> Metric:
    found = GaugeMetricFamily(f"rec_cache_{name}", text, labels=(label,))
    for each, value in values.items():
        found.add_metric((each,), value)
    return found


def _counter(name: str, text: str, label: str, values: Mapping[str, float]) -> Metric:
    found = CounterMetricFamily(f"rec_cache_{name}", text, labels=(label,))
    for each, value in values.items():
        found.add_metric((each,), value)
    return found
