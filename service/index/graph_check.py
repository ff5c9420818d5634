"""Does every step that a walk could take in a graph stay inside it? Looked at once, at opening.

The walk itself follows links without a look. FAISS checks some of this when it reads a file, and
which of it differs between its versions.
"""

from typing import Protocol, TypeAlias

import faiss
import numpy as np
from numpy.typing import NDArray

_Ints: TypeAlias = NDArray[np.int64]


class _CppVector(Protocol):
    """`std::vector`, as FAISS shows it to Python."""

    def data(self) -> object:
        """Return the address of the first number."""

    def size(self) -> int:
        """Return how many there are."""


def view(vector: _CppVector) -> NDArray[np.generic]:
    """The numbers of a C++ vector where they are; it has to outlive them."""
    array: NDArray[np.generic] = faiss.rev_swig_ptr(vector.data(), vector.size())
    return array


def is_sound(index: faiss.IndexHNSW) -> bool:
    """Whether a graph and its codes are whole and lead nowhere else.

    Args:
        index: HNSW over an `IndexScalarQuantizer` of as many vectors.
    """
    graph, count = index.hnsw, int(index.ntotal)
    links = view(graph.neighbors)
    offsets = view(graph.offsets).astype(np.int64)
    levels = view(graph.levels).astype(np.int64)
    starts = faiss.vector_to_array(graph.cum_nneighbor_per_level).astype(np.int64)
    return (
        _has_codes(faiss.downcast_index(index.storage), count)
        and _has_room(starts)
        and _is_divided(links, offsets, levels, starts, count)
        and 0 <= graph.entry_point < count
        and 0 <= graph.max_level < int(levels[graph.entry_point])
        and bool(links.min() >= -1 and links.max() < count)
        and all(
            _stays_on(level, links, offsets, levels, starts) for level in range(1, levels.max())
        )
    )


def _has_codes(storage: faiss.IndexScalarQuantizer, count: int) -> bool:
    if storage.codes.size() != count * storage.code_size:
        return False
    if storage.sq.qtype != faiss.ScalarQuantizer.QT_8bit:
        return True
    return bool(storage.code_size == storage.d and storage.sq.trained.size() == 2 * storage.d)


def _has_room(starts: _Ints) -> bool:
    """Every level has neighbours, and none more than the ground level, which room is made for."""
    widths = np.diff(starts)
    return bool(len(starts) > 1 and starts[0] == 0 and (widths > 0).all()) and bool(
        (widths <= widths[0]).all()
    )


def _is_divided(
    links: NDArray[np.generic], offsets: _Ints, levels: _Ints, starts: _Ints, count: int
) -> bool:
    if len(levels) != count or len(offsets) != count + 1:
        return False
    if levels.min() < 1 or levels.max() >= len(starts):
        return False
    is_whole = offsets[0] == 0 and offsets[-1] == len(links)
    return bool(is_whole and (np.diff(offsets) == starts[levels]).all())


def _stays_on(
    level: int, links: NDArray[np.generic], offsets: _Ints, levels: _Ints, starts: _Ints
) -> bool:
    """Whether the links of a level lead to nodes that are on it."""
    nodes = np.flatnonzero(levels > level)
    places = offsets[nodes][:, np.newaxis] + np.arange(starts[level], starts[level + 1])
    near = links[places].astype(np.int64)
    return bool(((near < 0) | (levels[near] > level)).all())
