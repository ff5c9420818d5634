"""Items asked for their own neighbours: what the lists below every item hold."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from service.index.exact_index import ExactIndex
from service.index.retriever import Retriever
from service.index.snapshot import Snapshot
from service.types import Rows

_BATCH: Final = 256
# Products of a flat index, which reads every vector for each item asked: some ten seconds.
_EXACT_BUDGET: Final = 400_000_000
_LEAST: Final = 64


@dataclass(frozen=True, slots=True)
class NeighbourLists:
    """Who stands in whose list.

    Attributes:
        rows: int64 (p,), the items asked, ascending.
        found: int64 (p, k), their neighbours, nearest first, never themselves; -1 pads.
        cosines: float32 (p, k), to the item asked; NaN pads.
    """

    rows: Rows
    found: NDArray[np.int64]
    cosines: NDArray[np.float32]

    def of(self, place: int) -> list[tuple[int, float]]:
        """The neighbours of the item at a place in `rows`, with their cosines."""
        pairs = zip(self.found[place].tolist(), self.cosines[place].tolist(), strict=True)
        return [(row, cosine) for row, cosine in pairs if row >= 0]

    def listings(self) -> list[Rows]:
        """The lists without what pads them."""
        return [line[line >= 0] for line in self.found]


def sample_rows(snapshot: Snapshot, wanted: int, seed: int) -> Rows:
    """Choose items to ask: all if there are no more than wanted, else by chance, ascending.

    Fewer than wanted where the index is flat and so large that it would take minutes.
    """
    size = len(snapshot.table)
    if snapshot.manifest.factory == "Flat":
        wanted = min(wanted, max(_LEAST, _EXACT_BUDGET // size))
    if wanted >= size:
        return np.arange(size, dtype=np.int64)
    chosen = np.random.default_rng(seed).choice(size, wanted, replace=False)
    return np.sort(chosen).astype(np.int64)


def ask(
    snapshot: Snapshot, rows: Rows, k: int, progress: Callable[[int], None] = lambda done: None
) -> NeighbourLists:
    """Ask items for their k nearest others.

    Args:
        snapshot: the version; its own index answers, as it does when it is served.
        rows: int64 (p,), each in [0, items).
        k: how many; fewer where the version has no more.
        progress: told how many have been asked.
    """
    k = min(k, len(snapshot.table) - 1)
    found = np.full((len(rows), k), -1, dtype=np.int64)
    cosines = np.full((len(rows), k), np.nan, dtype=np.float32)
    if not k:
        return NeighbourLists(rows, found, cosines)
    retriever = _fastest(snapshot)
    for start in range(0, len(rows), _BATCH):
        batch = rows[start : start + _BATCH]
        queries = np.array(snapshot.vectors[batch])
        answers, _ = retriever.search(queries, k + 1)
        for place, (row, answer) in enumerate(zip(batch, answers, strict=True), start):
            others = answer[(answer >= 0) & (answer != row)][:k]
            found[place, : len(others)] = others
            cosines[place, : len(others)] = cosines_to(snapshot, int(row), others)
        progress(min(start + _BATCH, len(rows)))
    return NeighbourLists(rows, found, cosines)


def cosines_to(snapshot: Snapshot, row: int, others: Rows) -> NDArray[np.float32]:
    """Cosines between an item and some others: float32 (len(others),), 0 for a vector of zeros."""
    own, vectors = snapshot.vectors[row], snapshot.vectors[others]
    lengths = np.linalg.norm(vectors, axis=1) * np.linalg.norm(own)
    cosines = np.zeros(len(others), np.float32)
    np.divide(vectors @ own, lengths, out=cosines, where=lengths > 0)
    return cosines.clip(-1.0, 1.0)


def _fastest(snapshot: Snapshot) -> Retriever:
    # The same answers for many at once: a flat index reads its vectors once for each query.
    if snapshot.manifest.factory == "Flat":
        return ExactIndex(snapshot.vectors)
    return snapshot.retriever
