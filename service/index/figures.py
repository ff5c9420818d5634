"""What a version does when it is asked: measured on a sample, in bounded time and memory."""

from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from service.index.exact_index import ExactIndex
from service.index.snapshot import Snapshot
from service.types import ItemId, Rows, Vectors

K = 10
"""Neighbours that every figure is about."""
RECALL_PROBES = 64
"""Probes whose true neighbours are looked for too, which reads every vector."""

_PROBES = 1000
# An exact search reads every vector: 20,000 items a thousand times, a million items 64 times.
_EXACT_BUDGET = 20_000_000
_PROBES_MIN = 64
_SENTINELS = 256
# Neighbours asked for, so that ten are left when those that only one version has are taken out.
_WIDE = 3 * K
_HUB_Z = 10.0

_Share = Annotated[float, Field(ge=0.0, le=1.0)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Figures(_Strict):
    """Items of a version, asked for their neighbours in it.

    Attributes:
        probes: how many items were asked.
        empty: share of lists that were shorter than they could be, or had no finite scores.
        recall: share of the 10 true neighbours found, by up to 64 of the probes.
        duplicates: share of probes that have an item of the same text or vector beside them.
        hubs: share of all places in the lists that items in far too many lists take.
    """

    probes: Annotated[int, Field(ge=1)]
    empty: _Share
    recall: _Share
    duplicates: _Share
    hubs: _Share


class Parity(_Strict):
    """How alike two versions answer: the mean overlap@10 over `sentinels` items of both."""

    sentinels: Annotated[int, Field(ge=0)]
    overlap: _Share


def measure(snapshot: Snapshot, seed: int = 0) -> Figures:
    """Ask up to a thousand items of a version for their neighbours. Same seed, same figures."""
    rows = _sample(len(snapshot.table), _probes(snapshot), seed)
    lists, empty = _neighbours(snapshot, np.array(snapshot.vectors[rows]), rows, K)
    return Figures(
        probes=len(rows),
        empty=empty / len(rows),
        recall=_recall(snapshot.vectors, rows[:RECALL_PROBES], lists),
        duplicates=sum(map(_has_twin, [snapshot] * len(rows), rows, lists)) / len(rows),
        hubs=hub_share(lists, len(snapshot.table)),
    )


def compare(candidate: Snapshot, previous: Snapshot, seed: int = 0) -> Parity:
    """Ask two versions of one model the same questions: items of both, with their old vectors.

    Only items that both versions have count, so new and deleted ones do not disturb.
    """
    rows = _sample(len(previous.table), _probes(previous), seed)
    kept = [row for row in rows if candidate.table.row(previous.table.id(int(row))) is not None]
    kept = kept[: min(_SENTINELS, _probes(candidate))]
    if not kept:
        return Parity(sentinels=0, overlap=0.0)
    queries = np.array(previous.vectors[kept])
    own = [previous.table.id(int(row)) for row in kept]
    before = _shared(previous, candidate, queries, own)
    after = _shared(candidate, previous, queries, own)
    overlaps = [
        len(set(old) & set(new)) / max(len(old), len(new), 1)
        for old, new in zip(before, after, strict=True)
    ]
    return Parity(sentinels=len(kept), overlap=float(np.mean(overlaps)))


def hub_share(lists: list[Rows], items: int) -> float:
    """Share of the places in neighbour lists that are taken by hubs.

    A hub is in more lists than the median item by ten robust standard deviations (median absolute
    deviation; at least that of a Poisson count, as most items of a large catalogue are in none).

    Args:
        lists: rows, each in [0, items).
        items: size of the catalogue.
    """
    places = np.concatenate([np.empty(0, np.int64), *lists])
    if not len(places):
        return 0.0
    counts = np.bincount(places, minlength=items)
    median = float(np.median(counts))
    deviation = 1.4826 * float(np.median(np.abs(counts - median)))
    scale = max(deviation, median**0.5, 1.0)
    return float(counts[counts > median + _HUB_Z * scale].sum() / len(places))


def _probes(snapshot: Snapshot) -> int:
    if snapshot.manifest.factory != "Flat":
        return _PROBES
    return min(_PROBES, max(_PROBES_MIN, _EXACT_BUDGET // len(snapshot.table)))


def _sample(size: int, wanted: int, seed: int) -> NDArray[np.int64]:
    chance = np.random.default_rng(seed)
    return chance.choice(size, min(size, wanted), replace=False).astype(np.int64)


def _neighbours(snapshot: Snapshot, queries: Vectors, own: Rows, k: int) -> tuple[list[Rows], int]:
    """The k nearest of each query without its own row, and how many lists were too short."""
    wanted = min(k, len(snapshot.table) - 1)
    found, scores = snapshot.retriever.search(queries, wanted + 1)
    lists, short = [], 0
    for rows, line, row in zip(found, scores, own, strict=True):
        usable = rows[(rows >= 0) & np.isfinite(line)]
        short += len(usable) < wanted + 1
        lists.append(usable[usable != row][:wanted])
    return lists, short


def _recall(vectors: Vectors, rows: Rows, lists: list[Rows]) -> float:
    """Share of the true neighbours found by the first probes; any of several equals counts."""
    wanted = min(K, len(vectors) - 1)
    if wanted == 0:
        return 1.0
    queries = np.array(vectors[rows])
    true_rows, true_scores = ExactIndex(vectors).search(queries, wanted + 1)
    hits = 0
    for line, row in enumerate(rows):
        bar = true_scores[line][true_rows[line] != row][:wanted][-1]
        scores = vectors[lists[line]] @ queries[line]
        # Rounding differs between two ways of adding up the same products.
        hits += int((scores >= bar - 1e-5 * abs(bar) - 1e-7).sum())
    return hits / (wanted * len(rows))


def _has_twin(snapshot: Snapshot, row: int, neighbours: Rows) -> bool:
    own_vector, own_text = snapshot.vectors[row], snapshot.table.text(int(row))
    return any(
        np.array_equal(snapshot.vectors[other], own_vector)
        or snapshot.table.text(int(other)) == own_text
        for other in neighbours
    )


def _shared(
    asked: Snapshot, other: Snapshot, queries: Vectors, own: list[ItemId]
) -> list[list[ItemId]]:
    """The ten nearest items that `other` has too, as ids, for each query; not the item itself."""
    found, _ = asked.retriever.search(queries, min(_WIDE, len(asked.table)))
    lists = []
    for rows, itself in zip(found, own, strict=True):
        ids = [asked.table.id(int(row)) for row in rows if row >= 0]
        shared = [each for each in ids if each != itself and other.table.row(each) is not None]
        lists.append(shared[:K])
    return lists
