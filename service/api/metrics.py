"""Prometheus metrics, in a registry of their own so that tests and apps do not share state.

Where several workers serve together each keeps its figures in files of one folder, which its
environment names, and whichever is asked adds them up: the multiprocess mode of prometheus_client.
Gauges say how that is done.
"""

import os
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from service.api.cache_metrics import CacheMetrics

FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
"""Names the folder of the figures; prometheus_client looks at it when it is imported."""

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
            "rec_inflight",
            "Requests being answered now.",
            registry=self.registry,
            multiprocess_mode="livesum",
        )
        self.fresh_items = Gauge(
            "rec_fresh_items",
            "Items that changed since the index was built; a rebuild takes them in.",
            registry=self.registry,
            multiprocess_mode="livemax",
        )
        self.queue_depth = Gauge(
            "rec_queue_depth",
            "Calls running or waiting for compute.",
            registry=self.registry,
            multiprocess_mode="livesum",
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
        self.admission_wait = Histogram(
            "rec_admission_wait_seconds",
            "Time that a request waited at the gate, if it had to.",
            buckets=_BUCKETS_S,
            registry=self.registry,
        )
        self.loop_lag = Histogram(
            "rec_event_loop_lag_seconds",
            "How late the event loop turns to what is due, ten times a second.",
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
            "Workers that answer with this index version and model now.",
            ("index", "model"),
            registry=self.registry,
            multiprocess_mode="livesum",
        )
        self.index_built = Gauge(
            "rec_index_built_timestamp_seconds",
            "When the served index was built; of several workers the one that is furthest behind.",
            registry=self.registry,
            multiprocess_mode="livemin",
        )
        self.breaker = Gauge(
            "rec_breaker_state",
            "0 closed, 1 half open, 2 open; of several workers the worst.",
            ("dep",),
            registry=self.registry,
            multiprocess_mode="livemax",
        )
        self.caches = CacheMetrics(self.registry)
        self._version: tuple[str, str] | None = None
        for metric in (self.requests, self.stages, self.cache):
            # Several are asked for by every request; of what there is to find there are few.
            metric.labels = cache(metric.labels)  # type: ignore[method-assign, assignment]

    def serve_version(self, index: str, model: str, built: float) -> None:
        """Note which index version answers from now on.

        Args:
            index, model: their full names.
            built: Unix seconds.
        """
        if FOLDER_VARIABLE not in os.environ:
            self.index_version.clear()
        elif self._version is not None:
            # What is in a file that others read cannot be taken out of it.
            self.index_version.labels(*self._version).set(0)
        self._version = index, model
        self.index_version.labels(index, model).set(1)
        self.index_built.set(built)

    def exposition(self) -> bytes:
        """Everything in Prometheus' text format, of all workers together where there are some."""
        folder = os.environ.get(FOLDER_VARIABLE)
        if folder is None:
            return generate_latest(self.registry)
        registry = CollectorRegistry()
        registry.register(_AllWorkers(Path(folder)))
        return generate_latest(registry)


class _AllWorkers(Collector):
    """Adds up what all workers have counted."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def collect(self) -> Iterable[Metric]:
        # The library's own collector takes every file, and fails on one that was just created by a
        # worker that starts.
        files = [str(each) for each in self._folder.glob("*.db") if _has_begun(each)]
        found: Iterable[Metric] = MultiProcessCollector.merge(files)  # type: ignore[no-untyped-call]
        return found


def _has_begun(file: Path) -> bool:
    try:
        return file.stat().st_size > 0
    except FileNotFoundError:
        # Of a worker that is gone.
        return False
