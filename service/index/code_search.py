"""Searches in 8-bit codes through the compiled library: walks in a graph, scans under a filter."""

import ctypes
from array import array
from dataclasses import dataclass, field

import faiss
import numpy as np
from numpy.typing import NDArray

from service.index.faiss_file import StoredIndex
from service.index.graph_check import view
from service.index.native.calls import address, function
from service.index.native.library import open_library
from service.index.retriever import Neighbours
from service.index.selection import Selection
from service.types import NO_ROW, Rows, Vectors

_OUT_OF_MEMORY, _NOT_FINITE = -1, -2
# Where a walk begins that knows no row near its query.
_TOP = -1

_Pointer = ctypes.c_void_p


class _Codes(ctypes.Structure):
    """`struct codes` of native/codes.h."""

    _fields_ = (
        *((name, _Pointer) for name in ("bytes", "lows", "steps", "axes", "rows", "vectors")),
        ("width", ctypes.c_int64),
        ("dim", ctypes.c_int64),
    )


class _Graph(ctypes.Structure):
    """`struct graph` of native/walk.c."""

    _fields_ = (
        ("codes", _Codes),
        *((name, _Pointer) for name in ("links", "offsets", "level_starts")),
        ("entry", ctypes.c_int32),
        ("top_level", ctypes.c_int32),
    )


class _Lists(ctypes.Structure):
    """`struct lists` of native/scan.c."""

    _fields_ = (
        *((name, _Pointer) for name in ("centres", "halves", "starts")),
        ("count", ctypes.c_int32),
        ("length", ctypes.c_float),
    )


class _WalkEffort(ctypes.Structure):
    """`struct effort` of native/walk.c."""

    _fields_ = (
        *((name, ctypes.c_int32) for name in ("kept", "again", "anchor")),
        *((name, ctypes.c_float) for name in ("reach", "longest")),
    )


@dataclass(frozen=True, slots=True)
class Effort:
    """How hard to search for k rows.

    Attributes:
        kept: nodes to keep on a walk.
        again: found rows to score again with the full vectors, k and a few more.
        compared: allowed rows to compare under a filter.
        anchor: which best node the reach is measured from.
        reach: how much farther than that one a node may be to be followed, as a share of its
            distance; 0: a walk follows every node it keeps.
        longest: the length of the longest vector.
    """

    kept: int
    again: int
    compared: int = 0
    anchor: int = 1
    reach: float = 0.0
    longest: float = 0.0
    of_walk: _WalkEffort = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        walk = _WalkEffort(self.kept, self.again, self.anchor, self.reach, self.longest)
        object.__setattr__(self, "of_walk", walk)


class CodeSearch:
    """Searches a graph over 8-bit codes. Never changes; safe to call from several threads.

    Args:
        stored: HNSW with 8-bit codes.
        vectors: float32 (n, dim), C order; scores come from these.
        rescored: False leaves the vectors alone: scores are then estimates from the codes.
        library: what was compiled.
    """

    def __init__(
        self, stored: StoredIndex, vectors: Vectors, library: ctypes.CDLL, *, rescored: bool
    ) -> None:
        storage = faiss.downcast_index(stored.index.storage)
        hnsw = stored.index.hnsw
        low, span = faiss.vector_to_array(storage.sq.trained).reshape(2, -1).astype(np.float32)
        steps = span / np.float32(255)
        # The library is given bare addresses: what they belong to has to live as long as this.
        self._kept: list[object] = [stored, vectors]
        self._dim = vectors.shape[1]
        self._nodes = _nodes_of(stored.rows)
        codes = _Codes(
            self._address(view(storage.codes)),
            self._address(low + steps / 2),
            self._address(steps),
            self._address(stored.axes),
            self._address(stored.rows),
            self._address(vectors) if rescored else None,
            storage.code_size,
            self._dim,
        )
        starts = faiss.vector_to_array(hnsw.cum_nneighbor_per_level).astype(np.int32)
        graph = _Graph(
            codes,
            self._address(view(hnsw.neighbors)),
            self._address(view(hnsw.offsets)),
            self._address(starts),
            hnsw.entry_point,
            hnsw.max_level,
        )
        lists = self._lists(stored)
        self._kept += [codes, graph, lists]
        self._codes, self._graph = ctypes.addressof(codes), ctypes.addressof(graph)
        self._by_lists = None if lists is None else ctypes.addressof(lists)
        self._walk = function(library, "magpie_walk", "pppqipppp")
        self._scan = function(library, "magpie_scan", "ppqpiipp")
        self._scan_lists = function(library, "magpie_scan_lists", "ppppqpiipp")

    @classmethod
    def over(cls, stored: StoredIndex, vectors: Vectors, *, rescored: bool) -> "CodeSearch | None":
        """Search this index so, if it is of the kind and there is a compiled library."""
        library = open_library()
        is_graph = type(stored.index).__name__ == "IndexHNSWSQ"
        if library is None or not is_graph:
            return None
        storage = faiss.downcast_index(stored.index.storage)
        if storage.sq.qtype != faiss.ScalarQuantizer.QT_8bit:
            return None
        return cls(stored, vectors, library, rescored=rescored)

    def search(
        self,
        queries: Vectors,
        k: int,
        effort: Effort,
        selection: Selection | None = None,
        near: Rows | None = None,
    ) -> tuple[Neighbours, list[int]]:
        """Find the k best rows for every query.

        Args:
            queries: float32 (q, dim), C order.
            k: at most the number of rows that can be found.
            effort: how hard.
            selection: what a filter leaves; with bits only where there are lists.
            near: see `Retriever.search`.

        Returns:
            What was found, padded where a walk ended early, and the queries where it did.

        Raises:
            ValueError: a query is not finite.
            MemoryError: there is none left.
        """
        # A copy can be written to, and so has its address told at a sixth of the price.
        queries = np.array(queries, order="C")
        found = np.empty((len(queries), k), np.int64)
        scores = np.empty((len(queries), k), np.float32)
        short: list[int] = []
        if not len(queries):
            return (found, scores), short
        at_query, at_row, at_score = address(queries), address(found), address(scores)
        if selection is None:
            walk, starts = ctypes.addressof(effort.of_walk), self._starts(near)
            given = self._graph, at_query, starts and starts.buffer_info()[0], len(queries), k, walk
            if _checked(self._walk(*given, at_row, at_score, None)):
                short = np.flatnonzero(found[:, -1] == NO_ROW).tolist()
            return (found, scores), short
        for line in range(len(queries)):
            to = at_row + 8 * k * line, at_score + 4 * k * line
            count = self._select(selection, at_query + 4 * self._dim * line, k, effort, to)
            if _checked(count) < k:
                found[line, count:], scores[line, count:] = NO_ROW, -np.inf
                short.append(line)
        return (found, scores), short

    def compared(self, queries: Vectors, k: int, effort: Effort) -> float:
        """How many codes a walk compares, on average."""
        counted = ctypes.c_int64(0)
        queries = np.array(queries, order="C")
        rows, scores = (
            np.empty((len(queries), k), np.int64),
            np.empty((len(queries), k), np.float32),
        )
        given = self._graph, address(queries), None, len(queries), k
        to = address(rows), address(scores), ctypes.addressof(counted)
        _checked(self._walk(*given, ctypes.addressof(effort.of_walk), *to))
        return counted.value / len(queries)

    def _starts(self, near: Rows | None) -> "array[int] | None":
        """The nodes to begin at: 32 bits each."""
        if near is None:
            return None
        return array("i", (near if self._nodes is None else self._nodes[near]).tolist())

    def _select(
        self, selection: Selection, at: int, k: int, effort: Effort, to: tuple[int, int]
    ) -> int:
        if selection.nodes is not None:
            again = max(effort.again, selection.again)
            nodes = address(selection.nodes)
            return self._scan(self._codes, nodes, len(selection.nodes), at, k, again, *to)
        assert selection.bits is not None, "many rows"
        assert selection.in_lists is not None, "see can_search"
        bits, in_lists = address(selection.bits), address(selection.in_lists)
        return self._scan_lists(
            self._codes,
            self._by_lists,
            bits,
            in_lists,
            effort.compared,
            at,
            k,
            effort.again,
            *to,
        )

    def _lists(self, stored: StoredIndex) -> _Lists | None:
        lists = stored.lists
        if lists is None:
            return None
        storage = faiss.downcast_index(stored.index.storage)
        centres = np.ascontiguousarray(lists.centres)
        return _Lists(
            self._address(storage.sa_encode(centres)),
            self._address((np.square(centres).sum(1) / 2).astype(np.float32)),
            self._address(lists.starts),
            len(centres),
            _usual_length(storage),
        )

    def _address(self, array: NDArray[np.generic] | None) -> int | None:
        if array is None:
            return None
        self._kept.append(array)
        return address(array)


def _nodes_of(rows: NDArray[np.int32] | None) -> NDArray[np.int32] | None:
    """The node of every row, and behind them what -1 stands for; None where they are the same."""
    if rows is None:
        return None
    nodes = np.full(len(rows) + 1, _TOP, np.int32)
    nodes[rows] = np.arange(len(rows), dtype=np.int32)
    return nodes


def _usual_length(storage: faiss.IndexScalarQuantizer) -> float:
    """The length of stored vectors, by a thousand of them from all over the index."""
    codes = view(storage.codes).reshape(-1, storage.code_size)
    sample = storage.sa_decode(np.ascontiguousarray(codes[:: max(1, len(codes) // 1000)]))
    return float(np.sqrt(np.square(sample).sum(1).mean()))


def _checked(count: int) -> int:
    if count == _NOT_FINITE:
        raise ValueError("queries must be finite")
    if count == _OUT_OF_MEMORY:
        raise MemoryError("no memory for a search")
    return count
