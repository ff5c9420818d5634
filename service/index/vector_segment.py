"""A segment of a vector store: one `.npy` file whose name tells whether its bytes are right.

Written under a temporary name, forced to the disk, then renamed to `000012-<sha256>.npy` with the
first 32 digits of its own digest: a torn or damaged file never matches its name.
"""

import io
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from service.artifacts import sha256_bytes, sha256_file, write_atomic
from service.types import Vectors

KEY = np.dtype([("high", "<u8"), ("low", "<u8")])
"""128 bits of a digest over a text, the model and the template."""
Keys: TypeAlias = NDArray[np.void]
"""`KEY` (n,)."""

_NAME = re.compile(r"([0-9]{6,})-([0-9a-f]{32})\.npy")


@dataclass(frozen=True, slots=True)
class Segment:
    """A file of vectors that never changes. Nothing of it is kept in memory."""

    path: Path
    sequence: int
    rows: int

    @classmethod
    def write(cls, folder: Path, sequence: int, keys: Keys, vectors: Vectors) -> "Segment":
        """Write a segment, forced to the disk before this returns.

        Raises:
            OSError: the disk refuses; nothing is left behind.
        """
        records = np.empty(len(keys), dtype=_layout(vectors.shape[1]))
        records["key"] = keys
        records["vector"] = vectors
        buffer = io.BytesIO()
        np.save(buffer, records, allow_pickle=False)
        content = buffer.getvalue()
        path = folder / f"{sequence:06d}-{sha256_bytes(content)[:32]}.npy"
        write_atomic(path, content)
        return cls(path, sequence, len(keys))

    @classmethod
    def open(cls, path: Path, dim: int) -> "Segment | None":
        """Read a whole file and compare it with its name; None if it is not what was written."""
        name = _NAME.fullmatch(path.name)
        if name is None or sha256_file(path)[:32] != name[2]:
            return None
        try:
            records = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return None
        if records.dtype != _layout(dim) or records.ndim != 1:
            return None
        return cls(path, int(name[1]), len(records))

    def keys(self) -> Keys:
        """Read the keys of all rows."""
        return np.array(self._map()["key"])

    def vectors(self, rows: NDArray[np.int64]) -> Vectors:
        """Read the vectors of some rows; float32 (len(rows), dim)."""
        return np.asarray(self._map()["vector"][rows])

    def _map(self) -> NDArray[np.void]:
        # Mapped for the moment of use only: pages of a thousand segments would count as ours.
        mapped: NDArray[np.void] = np.load(self.path, mmap_mode="r", allow_pickle=False)
        return mapped


def _layout(dim: int) -> np.dtype[np.void]:
    return np.dtype([("key", KEY), ("vector", "<f4", (dim,))])
