"""The retrieval step: the best rows that the caller may be shown, for many questions at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from service.index.retriever import Retriever
from service.types import Mask, Rows, Scores, Vectors

Found: TypeAlias = tuple[Rows, Scores]
"""int64 (n,) rows and float32 (n,) scores."""

_FEW = 32


@dataclass(frozen=True, slots=True, eq=False)
class Probe:
    """What to search for.

    Args:
        vectors: float32 (p, dim).
        count: rows wanted for each of them.
        allowed: bool (n_items,), or None for all. Probes of one mask are searched together, so
            let equal masks be one object.
        near: int64 (p,), for each vector a row that is known to be near, or -1.
    """

    vectors: Vectors
    count: int
    allowed: Mask | None
    near: Rows


def search(probes: Sequence[Probe], retriever: Retriever) -> list[Found]:
    """Search for all probes, in one call for those of one mask and of about the same length.

    Returns:
        For each probe int64 and float32 (p * count,) rows and scores, padded as a `Retriever`
        pads.
    """
    if len(probes) == 1:
        only = probes[0]
        rows, scores = _search(only.vectors, only.count, only.allowed, only.near, retriever)
        return [(rows.ravel(), scores.ravel())]
    together: dict[tuple[int, int], list[int]] = {}
    for place, probe in enumerate(probes):
        # A search for 500 must not make 99 searches for 10 as dear as itself.
        together.setdefault((id(probe.allowed), probe.count.bit_length()), []).append(place)
    found: dict[int, Found] = {}
    for places in together.values():
        ours = [probes[place] for place in places]
        vectors = np.concatenate([probe.vectors for probe in ours])
        count = max(probe.count for probe in ours)
        near = np.concatenate([probe.near for probe in ours])
        rows, scores = _search(vectors, count, ours[0].allowed, near, retriever)
        start = 0
        for place, probe in zip(places, ours, strict=True):
            lines = slice(start, start + len(probe.vectors))
            start = lines.stop
            found[place] = rows[lines, : probe.count].ravel(), scores[lines, : probe.count].ravel()
    return [found[place] for place in range(len(probes))]


def permitted(rows: Rows, scores: Scores, hidden: Rows) -> tuple[Rows, Scores, int]:
    """Drop what pads a list, what is hidden, and what has no usable score.

    Args:
        rows: int64 (n,), -1 where there is none.
        scores: float32 (n,).
        hidden: int64, rows never to return: seeds and excluded items.

    Returns:
        Rows and scores that are left, and how many had no usable score.
    """
    keep = rows >= 0
    if len(hidden):
        keep &= _is_other(rows, hidden)
    # A damaged vector must cost its own item, never the answer.
    is_scored = np.isfinite(scores)
    unscored = 0
    if np.count_nonzero(is_scored) < len(scores):
        unscored = int(np.count_nonzero(keep & ~is_scored))
        keep &= is_scored
    return rows[keep], scores[keep], unscored


def _search(
    vectors: Vectors, count: int, allowed: Mask | None, near: Rows, retriever: Retriever
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    return retriever.search(vectors, min(count, retriever.size), allowed, near)


def _is_other(rows: Rows, hidden: Rows) -> Mask:
    """Which rows are none of the hidden ones."""
    if len(hidden) > _FEW:
        return np.isin(rows, hidden, invert=True)
    # Sorting both, as NumPy does, costs ten times the comparison of a few.
    is_other: Mask = rows != hidden[0]
    for each in hidden[1:]:
        is_other &= rows != each
    return is_other
