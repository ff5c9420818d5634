"""The files of a FAISS index: written together, checked before FAISS reads them and again after.

index.faiss      the FAISS index; its ids are positions
index.rows.npy   int32 (n,), the row at each position; absent where they are the same
index.axes.npy   float32 (m, dim), the axes that the stored vectors are written in; absent
                 where they are stored as they are
index.centres.npy, index.starts.npy
                 float32 (c, m) and int32 (c + 1,): positions by the nearest of c centres, for
                 searches under a filter, and where each of these lists starts; absent without
"""

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import faiss
import numpy as np
from numpy.typing import NDArray

from service.errors import CorruptArtifact
from service.index.graph_check import is_sound
from service.index.lists_check import are_sound
from service.index.manifest import Factory
from service.types import Vectors

Number = TypeVar("Number", np.int32, np.float32)

# The first bytes of a FAISS file name its type; anything else is never given to FAISS.
_TYPES: tuple[tuple[str, bytes, str], ...] = (
    ("Flat", b"IxFI", "IndexFlatIP"),
    ("x4fs", b"IwPf", "IndexIVFPQFastScan"),
    ("RaBitQfs", b"Iwrn", "IndexIVFRaBitQFastScan"),
    ("IVF", b"IwSq", "IndexIVFScalarQuantizer"),
    ("HNSW", b"IHNs", "IndexHNSWSQ"),
)
# tag, dim, rows, two unused numbers, trained, metric
_HEADER = struct.Struct("<4siqqq?i")

# Process-wide and not thread-safe, hence once, here. FAISS's own defaults are 1 TB and no limit.
faiss.set_deserialization_vector_byte_limit(128 << 30)
faiss.set_deserialization_loop_limit(1 << 20)


@dataclass(frozen=True, slots=True, eq=False)
class Lists:
    """Positions of an index, in lists by the nearest of some centres.

    Attributes:
        centres: float32 (c, m), in the axes of the index.
        starts: int32 (c + 1,), the first position of each list, and how many there are.
    """

    centres: Vectors
    starts: NDArray[np.int32]


@dataclass(frozen=True, slots=True, eq=False)
class StoredIndex:
    """A FAISS index and how its positions and axes belong to the rows and numbers of the vectors.

    Attributes:
        index: trained and filled, of a type we know.
        rows: int32 (n,), the row at each position; None where they are the same.
        axes: float32 (m, dim), orthonormal rows; None where vectors are stored as they are.
        lists: of a graph, for filters; None without.
    """

    index: faiss.Index
    rows: NDArray[np.int32] | None = None
    axes: Vectors | None = None
    lists: Lists | None = None

    @property
    def beside(self) -> dict[str, NDArray[np.int32] | Vectors]:
        """The arrays beside the FAISS index, by the names of their files."""
        arrays: dict[str, NDArray[np.int32] | Vectors | None] = {
            "rows": self.rows,
            "axes": self.axes,
            "centres": None if self.lists is None else self.lists.centres,
            "starts": None if self.lists is None else self.lists.starts,
        }
        return {name: array for name, array in arrays.items() if array is not None}

    def write(self, path: Path) -> None:
        """Write `path` and the files beside it.

        Raises:
            RuntimeError, OSError: the disk refuses.
        """
        faiss.write_index(self.index, str(path))
        for name, array in self.beside.items():
            np.save(_beside(path, name), array, allow_pickle=False)

    @classmethod
    def open(cls, path: Path, vectors: Vectors, factory: Factory) -> "StoredIndex":
        """Map the files into memory. Verify their hashes first: FAISS trusts what it reads.

        Raises:
            CorruptArtifact: another type, size, dimension or metric than expected.
        """
        count, dim = vectors.shape
        rows, axes = _map(_beside(path, "rows"), np.int32), _map(_beside(path, "axes"), np.float32)
        if rows is not None and not _is_permutation(rows, count):
            raise CorruptArtifact(f"{path.stem}.rows.npy does not name each of {count} rows once.")
        if (axes is None) != (not factory.startswith("PCA")):
            raise CorruptArtifact(f"{path.stem}.axes.npy belongs to PCA, and PCA needs it.")
        if axes is not None and (axes.ndim != 2 or axes.shape[1] != dim or len(axes) > dim):
            raise CorruptArtifact(f"{path.stem}.axes.npy is not of {dim} dimensions.")
        shape = (count, dim if axes is None else len(axes))
        _check_header(path, factory, shape)
        lists = _open_lists(path, shape)
        try:
            index = faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)
        except RuntimeError as error:
            raise CorruptArtifact(
                f"{path.name} cannot be opened by FAISS.",
                "See whether the disk is full, and build the index again.",
            ) from error
        _check_opened(index, path, factory, shape)
        return cls(index, rows, axes, lists)


def _type_of(factory: Factory) -> tuple[bytes, str]:
    return next((tag, name) for part, tag, name in _TYPES if part in factory)


def _beside(path: Path, name: str) -> Path:
    return path.with_name(f"{path.stem}.{name}.npy")


def _map(path: Path, kind: type[Number]) -> NDArray[Number] | None:
    if not path.exists():
        return None
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise CorruptArtifact(f"{path.name} cannot be opened: {error}.") from error
    if array.dtype != np.dtype(kind) or not array.flags.c_contiguous:
        raise CorruptArtifact(f"{path.name} holds {array.dtype}, expected {np.dtype(kind)}.")
    plain: NDArray[Number] = array.view(np.ndarray)
    return plain


def _is_permutation(rows: NDArray[np.int32], count: int) -> bool:
    if rows.shape != (count,) or int(rows.min()) < 0 or int(rows.max()) >= count:
        return False
    seen = np.zeros(count, np.bool_)
    seen[rows] = True
    return bool(seen.all())


def _open_lists(path: Path, shape: tuple[int, int]) -> Lists | None:
    centres = _map(_beside(path, "centres"), np.float32)
    starts = _map(_beside(path, "starts"), np.int32)
    if centres is None and starts is None:
        return None
    if centres is None or centres.ndim != 2 or not len(centres) or centres.shape[1] != shape[1]:
        raise CorruptArtifact(f"{path.stem}.centres.npy is not of {shape[1]} numbers.")
    if starts is None or starts.shape != (len(centres) + 1,) or not _are_starts(starts, shape[0]):
        raise CorruptArtifact(f"{path.stem}.starts.npy does not divide {shape[0]} positions.")
    return Lists(centres, starts)


def _are_starts(starts: NDArray[np.int32], count: int) -> bool:
    return bool(starts[0] == 0 and starts[-1] == count and (np.diff(starts) >= 0).all())


def _check_header(path: Path, factory: Factory, shape: tuple[int, int]) -> None:
    with path.open("rb") as file:
        start = file.read(_HEADER.size)
    if len(start) < _HEADER.size:
        raise CorruptArtifact(f"{path.name} is too short to be a FAISS index.")
    tag, dim, rows, _, _, is_trained, metric = _HEADER.unpack(start)
    if tag != _type_of(factory)[0]:
        raise CorruptArtifact(f"{path.name} is not a FAISS index of type {factory}.")
    if (rows, dim) != shape:
        raise CorruptArtifact(
            f"{path.name} holds {rows} vectors of {dim} numbers, expected {shape}."
        )
    if not is_trained or metric != faiss.METRIC_INNER_PRODUCT:
        raise CorruptArtifact(f"{path.name} is not a trained index of inner products.")


def _check_opened(index: faiss.Index, path: Path, factory: Factory, shape: tuple[int, int]) -> None:
    fits = (index.ntotal, index.d) == shape and index.metric_type == faiss.METRIC_INNER_PRODUCT
    if type(index).__name__ != _type_of(factory)[1] or not fits:
        raise CorruptArtifact(f"{path.name} is not the index that its first bytes announce.")
    if "HNSW" in factory:
        storage = faiss.downcast_index(index.storage)
        fits = (storage.ntotal, storage.d) == shape and index.hnsw.levels.size() == index.ntotal
        if type(storage).__name__ != "IndexScalarQuantizer" or not fits:
            raise CorruptArtifact(f"{path.name} holds a graph that does not fit its vectors.")
        if not is_sound(index):
            raise CorruptArtifact(f"{path.name} holds a graph whose links lead nowhere.")
    elif "IVF" in factory:
        quantizer = faiss.downcast_index(index.quantizer)
        fits = (quantizer.ntotal, quantizer.d) == (index.nlist, index.d)
        if type(quantizer).__name__ not in ("IndexFlatIP", "IndexFlat") or not fits:
            raise CorruptArtifact(f"{path.name} holds lists that do not fit its vectors.")
        if not are_sound(index):
            raise CorruptArtifact(f"{path.name} holds lists that do not name every row once.")
