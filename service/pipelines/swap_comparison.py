"""Two index versions of the same items, made by two models: how they differ, side by side.

Speeds are medians of short runs that take turns, so that a busy machine is unfair to both alike.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from service.encoders.encoder import Encoder
from service.index.gates import Gate
from service.index.snapshot import Snapshot
from service.pipelines.agreement import NEIGHBOURS
from service.pipelines.query_file import SampleQuery
from service.types import Vectors

_T = TypeVar("_T")

_ITEMS_COMPARED = 200
_TEXTS_AT_ONCE = 32
_BLOCKS_TIMED = 8
_QUERIES_TIMED = 50
_RESAMPLES = 1000
_INTERVAL = (2.5, 97.5)


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two: what it is, how large, how fast, and how good where that is known."""

    version: str
    model: str
    digest: str
    stand_in: bool
    dim: int
    factory: str
    recall_at_10: float
    index_bytes: int
    model_bytes: int
    texts_per_second: float
    query_ms: float
    """Median time to encode one text alone."""
    ndcg_at_10: float | None


@dataclass(frozen=True, slots=True)
class Quality:
    """Change of the mean NDCG@10 from old to new, with its 95 % interval; positive is a gain."""

    queries: int
    change: float
    change_low: float
    change_high: float


@dataclass(frozen=True, slots=True)
class Difference:
    """Both sides, and the mean share of their top 10 that they have in common."""

    old: Side
    new: Side
    items_compared: int
    overlap_of_items: float
    queries_compared: int
    overlap_of_queries: float | None
    quality: Quality | None


@dataclass(frozen=True, slots=True)
class Measured:
    """A version with the encoder of its own model, and the size of that model's export."""

    snapshot: Snapshot
    encoder: Encoder
    model_bytes: int


def compare(
    old: Measured,
    new: Measured,
    queries: Sequence[SampleQuery],
    *,
    seed: int,
    clock: Callable[[], float] = time.perf_counter,
) -> Difference:
    """Compare two versions whose rows hold the same items, each through its own encoder.

    Args:
        old: what is served.
        new: what might be.
        queries: search texts, labelled or not; may be empty.
        seed: of the sample of items.
        clock: seconds; only differences matter.
    """
    sides = (old, new)
    size = len(old.snapshot.table)
    rows = np.random.default_rng(seed).permutation(size)[:_ITEMS_COMPARED]
    of_items = [_neighbours_of_items(side, rows) for side in sides]
    of_queries = [_found(side, [query.text for query in queries]) for side in sides]
    labels = _labels(old, queries)
    gains = [_gains(found, labels) for found in of_queries]
    texts = [old.snapshot.table.text(int(row)) for row in rows]
    rates, latencies = _speeds(sides, texts, [query.text for query in queries] or texts, clock)
    described = [
        _side(measured, rate, latency, gain)
        for measured, rate, latency, gain in zip((old, new), rates, latencies, gains, strict=True)
    ]
    return Difference(
        old=described[0],
        new=described[1],
        items_compared=len(rows),
        overlap_of_items=_overlap(*of_items),
        queries_compared=len(queries),
        overlap_of_queries=_overlap(*of_queries) if queries else None,
        quality=_quality(*gains, seed=seed) if labels else None,
    )


def quality_gates(difference: Difference) -> tuple[Gate, ...]:
    """Refuse a model that is worse beyond doubt: the whole 95 % interval lies below zero."""
    quality = difference.quality
    if quality is None:
        return ()
    return (
        Gate(
            name="NDCG@10",
            figure=round(quality.change, 4),
            limit="not surely worse",
            verdict="failed" if quality.change_high < 0 else "passed",
            note=f"change over {quality.queries} labelled queries",
        ),
    )


def _side(measured: Measured, rate: float, latency_ms: float, gains: NDArray[np.float64]) -> Side:
    manifest = measured.snapshot.manifest
    return Side(
        version=manifest.version,
        model=str(manifest.model),
        digest=manifest.model.digest,
        stand_in=manifest.stand_in,
        dim=manifest.dim,
        factory=manifest.factory,
        recall_at_10=manifest.recall_at_10,
        index_bytes=sum(entry.size_bytes for entry in manifest.files.values()),
        model_bytes=measured.model_bytes,
        texts_per_second=rate,
        query_ms=latency_ms,
        ndcg_at_10=float(gains.mean()) if len(gains) else None,
    )


def _neighbours_of_items(side: Measured, rows: NDArray[np.int64]) -> list[list[int]]:
    """The nearest other items of each item, as this version would answer."""
    snapshot = side.snapshot
    found, _ = snapshot.retriever.search(snapshot.vectors[rows], NEIGHBOURS + 1)
    return [
        [each for each in nearest if each not in (-1, row)][:NEIGHBOURS]
        for row, nearest in zip(rows.tolist(), found.tolist(), strict=True)
    ]


def _found(side: Measured, texts: Sequence[str]) -> list[list[int]]:
    if not texts:
        return []
    found, _ = side.snapshot.retriever.search(side.encoder.encode_queries(texts), NEIGHBOURS)
    return [[each for each in nearest if each != -1] for nearest in found.tolist()]


def _overlap(ours: Sequence[Sequence[int]], theirs: Sequence[Sequence[int]]) -> float:
    shares = [
        len(set(left) & set(right)) / max(len(left), len(right), 1)
        for left, right in zip(ours, theirs, strict=True)
    ]
    return float(np.mean(shares))


def _labels(side: Measured, queries: Sequence[SampleQuery]) -> Mapping[int, frozenset[int]]:
    """Rows that answer each labelled query; items that the catalogue lacks cannot be found."""
    labels = {}
    for position, query in enumerate(queries):
        rows = side.snapshot.table.rows(sorted(query.relevant))
        if known := frozenset(row for row in rows if row is not None):
            labels[position] = known
    return labels


def _gains(
    found: Sequence[Sequence[int]], labels: Mapping[int, frozenset[int]]
) -> NDArray[np.float64]:
    """NDCG@10 of each labelled query, relevance being yes or no; float64 (len(labels),).

    Source: Järvelin and Kekäläinen, TOIS 2002.
    """
    discounts = 1.0 / np.log2(np.arange(2, NEIGHBOURS + 2))
    gains = np.zeros(len(labels))
    for place, (position, relevant) in enumerate(labels.items()):
        hits = [rank for rank, row in enumerate(found[position]) if row in relevant]
        gains[place] = discounts[hits].sum() / discounts[: len(relevant)].sum()
    return gains


def _quality(old: NDArray[np.float64], new: NDArray[np.float64], *, seed: int) -> Quality:
    """Paired bootstrap over queries. Absolute, as an old model may find nothing at all."""
    changes = new - old
    draws = np.random.default_rng(seed).integers(0, len(changes), (_RESAMPLES, len(changes)))
    low, high = np.percentile(changes[draws].mean(axis=1), _INTERVAL)
    return Quality(len(changes), float(changes.mean()), float(low), float(high))


def _speeds(
    sides: Sequence[Measured],
    items: Sequence[str],
    queries: Sequence[str],
    clock: Callable[[], float],
) -> tuple[list[float], list[float]]:
    """Median texts a second in batches, and median milliseconds of one query, for each side."""
    blocks = [items[at : at + _TEXTS_AT_ONCE] for at in range(0, len(items), _TEXTS_AT_ONCE)]
    for side in sides:
        side.encoder.encode_queries(queries[:1])
    rates: list[list[float]] = [[] for _ in sides]
    for number, texts in _in_turns(sides, blocks[:_BLOCKS_TIMED]):
        seconds = _seconds(partial(sides[number].encoder.encode_items, texts), clock)
        rates[number].append(len(texts) / seconds)
    latencies: list[list[float]] = [[] for _ in sides]
    for number, text in _in_turns(sides, queries[:_QUERIES_TIMED]):
        seconds = _seconds(partial(sides[number].encoder.encode_queries, [text]), clock)
        latencies[number].append(seconds * 1e3)
    return [median(each) for each in rates], [median(each) for each in latencies]


def _in_turns(sides: Sequence[Measured], work: Sequence[_T]) -> Iterator[tuple[int, _T]]:
    """Give each side each piece of work; the second finds it warm, so they change places."""
    order = list(range(len(sides)))
    for piece in work:
        yield from ((number, piece) for number in order)
        order.reverse()


def _seconds(work: Callable[[], Vectors], clock: Callable[[], float]) -> float:
    started = clock()
    work()
    return max(clock() - started, 1e-9)
