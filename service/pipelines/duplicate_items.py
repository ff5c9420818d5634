"""Items that say the same twice: equal texts, equal words, equal vectors, almost equal vectors."""

import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from service.catalogue.ids import hash64
from service.index.snapshot import Snapshot
from service.pipelines.item_lines import ItemLine, line_of
from service.pipelines.neighbour_lists import NeighbourLists

Likeness: TypeAlias = Literal["same text", "same words", "same vector"]
"""same words: the texts differ in case, width, punctuation or spaces only.

same vector: the words differ, but the model does not see it.
"""

NEARLY: Final = 0.98
"""Cosine from which on two vectors count as nearly the same."""

_REPORT_EVERY: Final = 10_000
_LINES: Final = 5
_BETWEEN_WORDS: Final = re.compile(r"[\W_]+")

_Hashes: TypeAlias = NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Twins:
    """A group of items that say the same: how many, and the first five of them."""

    count: int
    items: tuple[ItemLine, ...]


@dataclass(frozen=True, slots=True)
class Repeated:
    """All groups of one likeness: how many, the items in them, and the largest of them."""

    likeness: Likeness
    groups: int
    items: int
    largest: tuple[Twins, ...]


@dataclass(frozen=True, slots=True)
class NearPair:
    """Two items whose vectors are nearly, but not quite, the same."""

    first: ItemLine
    second: ItemLine
    cosine: float


@dataclass(frozen=True, slots=True)
class NearPairs:
    """Nearly the same vectors, among the items asked and their neighbours.

    Attributes:
        pairs: how many were found.
        asked: how many items that were asked have such a neighbour.
        closest: the closest of the pairs.
    """

    pairs: int
    asked: int
    closest: tuple[NearPair, ...]


def find_repeated(
    snapshot: Snapshot, show: int, progress: Callable[[int], None] = lambda done: None
) -> tuple[Repeated, ...]:
    """Look at every item once; takes 24 bytes of memory an item.

    Args:
        snapshot: the version.
        show: how many groups of each likeness to name.
        progress: told how many items have been read.
    """
    texts, words, vectors = _hashes(snapshot, progress)
    return (
        _repeated(snapshot, "same text", texts, None, show),
        _repeated(snapshot, "same words", words, texts, show),
        _repeated(snapshot, "same vector", vectors, words, show),
    )


def find_near(snapshot: Snapshot, lists: NeighbourLists, show: int) -> NearPairs:
    """Pick the pairs of nearly the same vector out of neighbour lists, exact repeats left out."""
    pairs: dict[tuple[int, int], float] = {}
    asked = 0
    for place in np.flatnonzero((lists.cosines >= NEARLY).any(axis=1)):
        row = int(lists.rows[place])
        near = [
            (min(row, other), max(row, other), cosine)
            for other, cosine in lists.of(int(place))
            if cosine >= NEARLY and not _is_repeat(snapshot, row, other)
        ]
        asked += bool(near)
        pairs.update(((first, second), cosine) for first, second, cosine in near)
    closest = sorted(pairs.items(), key=lambda pair: (-pair[1], pair[0]))[:show]
    named = (
        NearPair(line_of(snapshot.table, first), line_of(snapshot.table, second), cosine)
        for (first, second), cosine in closest
    )
    return NearPairs(len(pairs), asked, tuple(named))


def fold_words(text: str) -> str:
    """Reduce a text to its words, without case, width, punctuation and spaces at the ends."""
    return _BETWEEN_WORDS.sub(" ", unicodedata.normalize("NFKC", text).casefold()).strip()


def _is_repeat(snapshot: Snapshot, row: int, other: int) -> bool:
    if np.array_equal(snapshot.vectors[row], snapshot.vectors[other]):
        return True
    table = snapshot.table
    return fold_words(table.text(row)) == fold_words(table.text(other))


def _hashes(
    snapshot: Snapshot, progress: Callable[[int], None]
) -> tuple[_Hashes, _Hashes, _Hashes]:
    size = len(snapshot.table)
    texts, words, vectors = (np.empty(size, np.uint64) for _ in range(3))
    for row in range(size):
        text = snapshot.table.text(row)
        texts[row] = hash64(text.encode(errors="surrogatepass"))
        words[row] = hash64(fold_words(text).encode(errors="surrogatepass"))
        vectors[row] = hash64(snapshot.vectors[row].tobytes())
        if not (row + 1) % _REPORT_EVERY or row + 1 == size:
            progress(row + 1)
    return texts, words, vectors


def _repeated(
    snapshot: Snapshot, likeness: Likeness, keys: _Hashes, finer: _Hashes | None, show: int
) -> Repeated:
    """Group rows of equal keys; groups that are one in a finer sense too are left to that."""
    groups = [
        rows for rows in _equal_rows(keys) if finer is None or (finer[rows] != finer[rows[0]]).any()
    ]
    largest = sorted(groups, key=lambda rows: (-len(rows), rows[0]))[:show]
    named = (
        Twins(len(rows), tuple(line_of(snapshot.table, int(row)) for row in rows[:_LINES]))
        for rows in largest
    )
    return Repeated(likeness, len(groups), sum(map(len, groups)), tuple(named))


def _equal_rows(keys: _Hashes) -> Iterator[NDArray[np.int64]]:
    order = np.argsort(keys, kind="stable")
    bounds = np.flatnonzero(np.diff(keys[order])) + 1
    starts = np.concatenate([[0], bounds])
    ends = np.concatenate([bounds, [len(keys)]])
    for start, end in zip(starts, ends, strict=True):
        if end - start > 1:
            yield order[start:end]
