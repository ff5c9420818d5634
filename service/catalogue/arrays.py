"""Arrays on disk: one .npy file each, mapped into memory when read, never pickled."""

from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from service.errors import CorruptArtifact

Number = TypeVar("Number", np.uint64, np.int64, np.int32, np.float64)


def save_array(path: Path, array: NDArray[Number]) -> None:
    """Write an array; the same array gives the same bytes."""
    np.save(path, array, allow_pickle=False)


def map_array(path: Path, dtype: type[Number]) -> NDArray[Number]:
    """Map a one-dimensional array into memory, read-only.

    Raises:
        CorruptArtifact: missing, not an array file, cut short, or of another type or shape.
    """
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise CorruptArtifact(f"{path} cannot be read: {error}.") from error
    if not isinstance(array, np.ndarray) or array.dtype != dtype or array.ndim != 1:
        raise CorruptArtifact(f"{path} is not a list of {dtype.__name__}.")
    # A view without the subclass: np.memmap makes every small slice several times slower.
    return np.asarray(array)
