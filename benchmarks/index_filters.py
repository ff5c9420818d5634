"""Searches under filters of several selectivities, beside a search without one."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.index_measure import single_searches, true_rows
from benchmarks.index_sets import kept
from service.index.faiss_index import FaissIndex
from service.types import Mask, Vector, Vectors

SELECTIVITIES = (0.001, 0.01, 0.1, 0.5)
RECALL_QUERIES = 1_000


def drawn_masks(count: int) -> list[tuple[float, Mask | None]]:
    """No filter, and one of each share, drawn by chance."""
    chance = np.random.default_rng(5)
    everyone: list[tuple[float, Mask | None]] = [(1.0, None)]
    for share in SELECTIVITIES:
        drawn: Mask = chance.random(count) < share
        drawn.flags.writeable = False
        everyone.append((share, drawn))
    return everyone


def true_within(
    folder: Path, share: float, mask: Mask | None, vectors: Vectors, queries: Vectors, k: int
) -> NDArray[np.int64]:
    """The true neighbours among what a filter allows, kept in the folder."""

    def work_out() -> NDArray[np.int64]:
        rows = np.arange(len(vectors)) if mask is None else np.flatnonzero(mask)
        found: NDArray[np.int64] = rows[true_rows(vectors[rows], queries, k)]
        return found

    return kept(folder / f"true-within-{share}.npy", work_out)


def filter_rows(
    index: FaissIndex, folder: Path, vectors: Vectors, queries: Vectors, k: int
) -> list[dict[str, float]]:
    """Recall and microseconds under filters, remembered and asked for the first time."""
    everyone, lines = drawn_masks(len(vectors)), []
    spent: dict[float, list[NDArray[np.float64]]] = {share: [] for share, _ in everyone}
    for _ in range(5):
        for share, mask in everyone:
            search = _search_within(index, mask, k)
            single_searches(search, queries[:20])
            spent[share].append(single_searches(search, queries))
    for share, mask in everyone:
        truth = true_within(folder, share, mask, vectors, queries, k)[:RECALL_QUERIES]
        rows = np.stack(
            [index.search(query[np.newaxis], k, mask)[0][0] for query in queries[:RECALL_QUERIES]]
        )
        hits = sum(len(np.intersect1d(a, b)) for a, b in zip(rows, truth, strict=True))
        first = np.array([0.0])
        if mask is not None:
            # A mask that can be written to is never remembered: every search is its first.
            first = single_searches(_search_within(index, mask.copy(), k), queries[:100])
        lines.append({
            "share": share,
            "recall": hits / truth.size,
            "p50_us": float(np.median([np.quantile(s, 0.5) for s in spent[share]]) * 1e6),
            "p99_us": float(np.median([np.quantile(s, 0.99) for s in spent[share]]) * 1e6),
            "first_p50_us": float(np.median(first) * 1e6),
        })  # fmt: skip
    return lines


def _search_within(index: FaissIndex, mask: Mask | None, k: int) -> Callable[[Vector], object]:
    return lambda query: index.search(query[np.newaxis], k, mask)
