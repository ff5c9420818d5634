"""Long lists of numbers that wait on disk, so that a catalogue need not fit into memory."""

from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

Number = TypeVar("Number", np.uint64, np.int32, np.float64)

_KEPT = 2048


class Spill(Generic[Number]):
    """A list that grows at its end; all but the last few thousand numbers lie in a file.

    Args:
        path: the file; it appears when the list outgrows memory, and is the caller's to delete.
        dtype: what each number is.
    """

    __slots__ = ("_dtype", "_path", "_recent", "_spilled")

    def __init__(self, path: Path, dtype: type[Number]) -> None:
        self._path = path
        self._dtype: type[Number] = dtype
        self._recent: list[float] = []
        self._spilled = 0

    def __len__(self) -> int:
        return self._spilled + len(self._recent)

    def append(self, number: float) -> None:
        """Add a number."""
        self._recent.append(number)
        if len(self._recent) == _KEPT:
            with self._path.open("ab") as file:
                np.array(self._recent, dtype=self._dtype).tofile(file)
            self._spilled += _KEPT
            self._recent.clear()

    def read(self) -> NDArray[Number]:
        """Return the whole list."""
        recent = np.array(self._recent, dtype=self._dtype)
        if not self._spilled:
            return recent
        return np.concatenate((np.fromfile(self._path, dtype=self._dtype), recent))
