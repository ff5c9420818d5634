"""Prometheus metrics, in a registry of their own so that tests and apps do not share state."""

from functools import cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

# The advised buckets start at 5 ms, where most of our answers are already sent.
_BUCKETS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """Every metric the service exports. Labels never hold ids of users or items."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Histogram(
            "http_server_request_duration_seconds",
            "Time to answer a request.",
            ("route", "method", "status_class"),
            buckets=_BUCKETS_S,
            registry=self.registry,
        )
        self.inflight = Gauge(
            "rec_inflight", "Requests being answered now.", registry=self.registry
        )
        self.fresh_items = Gauge(
            "rec_fresh_items",
            "Items that changed since the index was built; a rebuild takes them in.",
            registry=self.registry,
        )
        self.queue_depth = Gauge(
            "rec_queue_depth", "Calls running or waiting for compute.", registry=self.registry
        )
        self.batch_size = Histogram(
            "rec_batch_size",
            "Search texts encoded together.",
            buckets=_BATCH_SIZES,
            registry=self.registry,
        )
        self.queue_wait = Histogram(
            "rec_queue_wait_seconds",
            "Time that a search text waited for its batch to begin.",
            buckets=_BUCKETS_S,
            registry=self.registry,
        )
        self.encode_dropped = Counter(
            "rec_encode_dropped_total",
            "Search texts not encoded: the caller had `left`, or the deadline had `expired`.",
            ("reason",),
            registry=self.registry,
        )
        self.stages = Histogram(
            "rec_stage_duration_seconds",
            "Time by stage of an answer.",
            ("stage",),
            buckets=_BUCKETS_S,
            registry=self.registry,
        )
        self.cache = Counter(
            "rec_cache_requests_total",
            "Answers by the tier that had them.",
            ("result",),
            registry=self.registry,
        )
        self.warmed = Counter(
            "rec_warmed_total",
            "Questions that new index versions answered before they went live.",
            registry=self.registry,
        )
        self.degraded = Counter(
            "rec_degraded_total",
            "Answers with less than was asked, by reason.",
            ("reason",),
            registry=self.registry,
        )
        self.rejected = Counter(
            "rec_rejected_total",
            "Requests refused, by reason.",
            ("reason",),
            registry=self.registry,
        )
        self.denied = Counter(
            "rec_auth_failures_total",
            "Requests that their sender may not make, by the code of the refusal.",
            ("reason",),
            registry=self.registry,
        )
        self.swaps = Counter(
            "rec_swap_total",
            "Index versions taken over or refused.",
            ("result",),
            registry=self.registry,
        )
        self.index_version = Gauge(
            "rec_index_version_info",
            "1 for the index version and model that answer now.",
            ("index", "model"),
            registry=self.registry,
        )
        self.index_built = Gauge(
            "rec_index_built_timestamp_seconds",
            "When the served index was built.",
            registry=self.registry,
        )
        self.breaker = Gauge(
            "rec_breaker_state",
            "0 closed, 1 half open, 2 open.",
            ("dep",),
            registry=self.registry,
        )
        for metric in (self.requests, self.stages, self.cache):
            # Several are asked for by every request; of what there is to find there are few.
            metric.labels = cache(metric.labels)  # type: ignore[method-assign, assignment]
