"""From an item's id to its table row: a sorted list of hashes, searched by bisection."""

from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import blake2b
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from service.catalogue.arrays import map_array, save_array
from service.catalogue.rows import cut
from service.errors import CorruptArtifact, InvalidCatalogue
from service.types import ItemId

_HASHES = "ids.hashes.npy"
_ROWS = "ids.rows.npy"


def hash64(content: bytes) -> int:
    """Hash bytes to 64 bits, the same on every machine (BLAKE2b, RFC 7693)."""
    return int.from_bytes(blake2b(content, digest_size=8).digest(), "little")


def write_ids(hashes: NDArray[np.uint64], folder: Path, id_of: Callable[[int], ItemId]) -> None:
    """Write the lookup of ids.

    Args:
        hashes: uint64 (n,), `hash64` of the id of each row.
        folder: of the table.
        id_of: reads the id of a row; asked only where two hashes are equal.

    Raises:
        InvalidCatalogue: an id stands there twice.
    """
    rows = np.argsort(hashes, kind="stable")
    ordered = hashes[rows]
    _check_unique(id_of, ordered, rows)
    save_array(folder / _HASHES, ordered)
    save_array(folder / _ROWS, rows.astype(np.int64))


def _check_unique(
    id_of: Callable[[int], ItemId], hashes: NDArray[np.uint64], rows: NDArray[np.int64]
) -> None:
    repeats = np.flatnonzero(hashes[1:] == hashes[:-1])
    if not repeats.size:
        return
    collided = np.unique(np.concatenate((rows[repeats], rows[repeats + 1])))
    for first, second in pairwise(sorted(id_of(int(row)) for row in collided)):
        if first == second:
            raise InvalidCatalogue(f"The id {cut(first)} stands in the catalogue twice.")


class Places:
    """Where each id was first seen: 36 to 72 bytes an id, a quarter of what a dict takes.

    A hash table with open addressing over 128-bit digests (BLAKE2b), which stand for the ids.
    """

    __slots__ = ("_count", "_high", "_low", "_place")

    def __init__(self) -> None:
        self._count = 0
        self._allocate(1 << 12)

    def __len__(self) -> int:
        return self._count

    def first(self, item_id: str, place: int) -> int:
        """Return where an id was seen first; that is `place`, a number ≥ 0, if it is new."""
        high, low = _halves(item_id)
        slot = self._slot(high, low)
        if self._place[slot] >= 0:
            return self._place[slot]
        self._put(slot, high, low, place)
        return place

    def get(self, item_id: str) -> int | None:
        """Return where an id was seen first, None if it was not."""
        place = self._place[self._slot(*_halves(item_id))]
        return None if place < 0 else place

    def _slot(self, high: int, low: int) -> int:
        """Find the slot of a digest, or the free one where it would go."""
        mask = len(self._place) - 1
        slot = high & mask
        while self._place[slot] >= 0 and (self._high[slot] != high or self._low[slot] != low):
            slot = (slot + 1) & mask
        return slot

    def _put(self, slot: int, high: int, low: int, place: int) -> None:
        self._high[slot], self._low[slot], self._place[slot] = high, low, place
        self._count += 1
        if 3 * self._count > 2 * len(self._place):
            self._grow()

    def _grow(self) -> None:
        before = zip(self._high, self._low, self._place, strict=True)
        self._allocate(2 * len(self._place))
        for high, low, place in before:
            if place >= 0:
                slot = self._slot(high, low)
                self._high[slot], self._low[slot], self._place[slot] = high, low, place

    def _allocate(self, slots: int) -> None:
        self._high = array("Q", bytes(8 * slots))
        self._low = array("Q", bytes(8 * slots))
        self._place = array("q", b"\xff" * (8 * slots))


def _halves(item_id: str) -> tuple[int, int]:
    digest = blake2b(item_id.encode(errors="surrogatepass"), digest_size=16).digest()
    return int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:], "little")


@dataclass(frozen=True, slots=True, eq=False)
class IdIndex:
    """Finds the rows that an id may have; nearly always none or one.

    Args:
        hashes: uint64 (n,), ascending.
        rows: int64 (n,), the row of each hash.
    """

    hashes: NDArray[np.uint64]
    rows: NDArray[np.int64]

    @classmethod
    def open(cls, folder: Path, size: int) -> "IdIndex":
        """Map the lookup of `size` items.

        Raises:
            CorruptArtifact: a file is missing, damaged or of another length.
        """
        index = cls(map_array(folder / _HASHES, np.uint64), map_array(folder / _ROWS, np.int64))
        if not len(index.hashes) == len(index.rows) == size:
            raise CorruptArtifact(f"The id lookup in {folder} is not of {size} items.")
        return index

    def candidates(self, item_id: str) -> Iterator[int]:
        """Yield the rows whose id has the same hash; the caller compares the ids themselves."""
        # Typed, because searching for a Python int would first copy all hashes to float64. An id
        # from a request may hold a lone surrogate: it then finds nothing, as no stored id does.
        wanted = np.uint64(hash64(item_id.encode(errors="surrogatepass")))
        position = int(self.hashes.searchsorted(wanted))
        while position < len(self.hashes) and self.hashes[position] == wanted:
            yield int(self.rows[position])
            position += 1
