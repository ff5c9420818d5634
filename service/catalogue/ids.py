"""From an item's id to its table row: a sorted list of hashes, searched by bisection."""

from collections.abc import Iterator, Sequence
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


def write_ids(ids: Sequence[ItemId], folder: Path) -> None:
    """Write the lookup of ids, where ids[row] is the id of a row.

    Raises:
        InvalidCatalogue: an id stands there twice.
    """
    hashes = np.fromiter((hash64(item_id.encode()) for item_id in ids), np.uint64, len(ids))
    rows = np.argsort(hashes, kind="stable")
    ordered = hashes[rows]
    _check_unique(ids, ordered, rows)
    save_array(folder / _HASHES, ordered)
    save_array(folder / _ROWS, rows.astype(np.int64))


def _check_unique(
    ids: Sequence[ItemId], hashes: NDArray[np.uint64], rows: NDArray[np.int64]
) -> None:
    repeats = np.flatnonzero(hashes[1:] == hashes[:-1])
    if not repeats.size:
        return
    collided = np.unique(np.concatenate((rows[repeats], rows[repeats + 1])))
    for first, second in pairwise(sorted(ids[row] for row in collided)):
        if first == second:
            raise InvalidCatalogue(f"The id {cut(first)} stands in the catalogue twice.")


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
