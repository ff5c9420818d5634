"""The full vectors of a version: one float32 matrix on disk, memory-mapped when served."""

import mmap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from service.errors import CorruptArtifact, EncodingFailed
from service.types import ItemId, Vectors

_BLOCK_ROWS = 16_384
_IDS_NAMED = 5


def check_vectors(vectors: Vectors, ids: Sequence[ItemId], dim: int) -> None:
    """Refuse what would poison an index. Rows need not be of unit length.

    A stored NaN row would silently vanish from every answer, an infinite one would win them all.

    Args:
        vectors: what should be float32 (len(ids), dim).
        ids: the items, in the order of the rows.
        dim: numbers in a vector.

    Raises:
        EncodingFailed: a wrong shape or type, or rows that are NaN, infinite or zero; the message
            counts them and names the first ids.
    """
    if vectors.shape != (len(ids), dim) or vectors.dtype != np.float32:
        raise EncodingFailed(
            f"vectors are {vectors.dtype} {vectors.shape}, expected float32 ({len(ids)}, {dim})."
        )
    refuse_useless(vectors, ids.__getitem__)


def refuse_useless(vectors: Vectors, id_of: Callable[[int], str]) -> None:
    """Refuse rows that are NaN, infinite or zero; see `check_vectors`.

    Args:
        vectors: float32 (n, dim).
        id_of: names the item of a row; asked for the first few bad ones only.

    Raises:
        EncodingFailed: counts the rows and names the first ids.
    """
    squares = _squared_norms(vectors)
    broken = np.flatnonzero(~np.isfinite(squares))
    zero = np.flatnonzero(squares == 0)
    if len(broken) or len(zero):
        named = ", ".join(repr(id_of(int(row))) for row in [*broken, *zero][:_IDS_NAMED])
        raise EncodingFailed(
            f"{len(broken) + len(zero)} of {len(vectors)} vectors cannot be indexed: {len(broken)} "
            f"NaN or infinite, {len(zero)} zero; first ids: {named}.",
            "Look at the texts of these items.",
        )


class VectorFile:
    """Writes float32 (n, dim) as `.npy`, block by block, in the bytes of `write_vectors`.

    Args:
        path: must not exist.
        items: n.
        dim: numbers in a vector.
    """

    def __init__(self, path: Path, items: int, dim: int) -> None:
        self._file = path.open("xb")
        header = {"descr": "<f4", "fortran_order": False, "shape": (items, dim)}
        np.lib.format.write_array_header_1_0(self._file, header)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, block: Vectors) -> None:
        """Write the next rows."""
        self._file.write(np.ascontiguousarray(block, dtype="<f4").data)


def write_vectors(vectors: Vectors, path: Path) -> None:
    """Write float32 (n, dim) in C order as .npy, little-endian."""
    with path.open("wb") as file:
        np.save(file, np.ascontiguousarray(vectors, dtype="<f4"), allow_pickle=False)


def open_vectors(path: Path, items: int, dim: int) -> Vectors:
    """Map float32 (items, dim) into memory, read-only.

    Raises:
        CorruptArtifact: the file is no such matrix.
    """
    try:
        mapped: NDArray[np.float32] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise CorruptArtifact(f"{path.name} cannot be opened: {error}.") from error
    # Without the memmap subclass every slice is cheaper; the mapping lives on as the base.
    vectors = mapped.view(np.ndarray)
    if vectors.shape != (items, dim) or vectors.dtype != np.dtype("<f4"):
        raise CorruptArtifact(
            f"{path.name} holds {vectors.dtype} {vectors.shape}, the manifest says "
            f"float32 ({items}, {dim})."
        )
    if not vectors.flags.c_contiguous:
        raise CorruptArtifact(f"{path.name} is not in C order.")
    return vectors


def release_pages(vectors: Vectors) -> None:
    """Give back the memory of a mapped matrix; what is read again comes from the file again."""
    mapped: object = vectors
    while isinstance(mapped, np.ndarray):
        mapped = mapped.base
    if isinstance(mapped, mmap.mmap):
        mapped.madvise(mmap.MADV_DONTNEED)


def _squared_norms(vectors: Vectors) -> NDArray[np.float32]:
    squares = np.empty(len(vectors), dtype=np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        for start in range(0, len(vectors), _BLOCK_ROWS):
            block = vectors[start : start + _BLOCK_ROWS]
            squares[start : start + len(block)] = np.einsum("ij,ij->i", block, block)
    return squares
