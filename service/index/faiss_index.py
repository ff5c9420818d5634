"""The served index: FAISS, opened memory-mapped, never changed, exact where that is cheaper."""

import struct
from pathlib import Path

import faiss
import numpy as np

from service.errors import CorruptArtifact
from service.index.exact_index import best_rows
from service.index.manifest import EfSearch, Factory
from service.index.retriever import Neighbours, check_search, padded
from service.types import Mask, Rows, Vector, Vectors

EXACT_SURVIVORS = 20_000
"""Filters that leave at most this many rows are answered exactly.

HNSW has to walk through what a filter forbids: with 1 % allowed it finds half of the neighbours
or takes tens of milliseconds. 20,000 inner products of 384 numbers take about 1 ms on one core.
"""

# The first bytes of a FAISS file name its type; anything else is never given to FAISS.
_TAGS: dict[Factory, bytes] = {"Flat": b"IxFI", "HNSW32,SQ8": b"IHNs"}
_CLASSES: dict[Factory, str] = {"Flat": "IndexFlatIP", "HNSW32,SQ8": "IndexHNSWSQ"}
# tag, dim, rows, two unused numbers, trained, metric
_HEADER = struct.Struct("<4siqqq?i")
# 8-bit storage misorders close neighbours; the few extra are put right by the full vectors.
_SPARE = 6
# A filter rarely leaves an even share of every neighbourhood: what it left here is thinner.
_FILTER_EFFORT = 1.5
# Beyond this a walk through the graph costs more than looking at every allowed row.
_EF_MAX = 4096

# Process-wide and not thread-safe, hence once, here. FAISS's own defaults are 1 TB and no limit.
faiss.set_deserialization_vector_byte_limit(128 << 30)
faiss.set_deserialization_loop_limit(1 << 20)


class FaissIndex:
    """Searches a FAISS index and the full vectors behind it.

    Scores are inner products of the full vectors, whatever the index stores. Safe to call from
    several threads: search parameters belong to the call, and FAISS releases the GIL.

    Args:
        index: a trained and filled FAISS index of a type we know.
        vectors: float32 (n, dim), C order; row i is id i of the index.
        ef_search: candidates to keep, for HNSW; None for flat.
    """

    def __init__(self, index: faiss.Index, vectors: Vectors, ef_search: EfSearch | None) -> None:
        self._index = index
        self._vectors = vectors
        self._ef_search = ef_search

    @classmethod
    def open(
        cls, path: Path, vectors: Vectors, *, factory: Factory, ef_search: EfSearch | None
    ) -> "FaissIndex":
        """Map an index file into memory. Verify its hash first: FAISS trusts what it reads.

        Raises:
            CorruptArtifact: another type, size, dimension or metric than expected.
        """
        _check_header(path, factory, vectors)
        try:
            index = faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)
        except RuntimeError as error:
            raise CorruptArtifact(f"{path.name} cannot be opened by FAISS.") from error
        _check_opened(index, path, factory, vectors)
        return cls(index, vectors, ef_search)

    @property
    def dim(self) -> int:
        """Numbers in a vector."""
        return int(self._vectors.shape[1])

    @property
    def size(self) -> int:
        """Vectors that can be found."""
        return len(self._vectors)

    def search(self, queries: Vectors, k: int, allowed: Mask | None = None) -> Neighbours:
        """Find the k best rows for every query; see `Retriever.search`.

        Exact for a flat index and where a filter leaves at most `EXACT_SURVIVORS` rows.
        """
        queries = check_search(queries, k, allowed, dim=self.dim, size=self.size)
        # A thread that never said so would start FAISS's threads, one pool for every caller.
        faiss.omp_set_num_threads(1)
        survivors = None if allowed is None else np.flatnonzero(allowed)
        found, scores = padded(len(queries), k)
        for line, query in enumerate(queries):
            rows, best = self._nearest(query, k, survivors, allowed)
            found[line, : len(rows)] = rows
            scores[line, : len(rows)] = best
        return found, scores

    def _nearest(
        self, query: Vector, k: int, survivors: Rows | None, allowed: Mask | None
    ) -> tuple[Rows, Vector]:
        if survivors is not None and len(survivors) <= EXACT_SURVIVORS:
            return self._among(survivors, query, k)
        count = self.size if survivors is None else len(survivors)
        candidates = self._candidates(query, k, count, allowed)
        if allowed is not None:
            # FAISS has returned ids that its selector forbids (issue 5504): look again.
            candidates = candidates[allowed[candidates]]
        if len(candidates) < min(k, count):
            # A walk can end early, between many equal vectors for one. Never silently short.
            return self._among(np.arange(self.size) if survivors is None else survivors, query, k)
        return self._among(candidates, query, k)

    def _candidates(self, query: Vector, k: int, count: int, allowed: Mask | None) -> Rows:
        """Ask FAISS for a few more than k of `count` allowed rows; returns them ascending."""
        selector = (
            None
            if allowed is None
            else faiss.IDSelectorBitmap(np.packbits(allowed, bitorder="little"))
        )
        if self._ef_search is None:
            parameters = faiss.SearchParameters(sel=selector)
        else:
            effort = self._ef_search.at(k)
            if allowed is not None:
                # Of the rows that a walk meets only this share may be kept.
                effort = int(_FILTER_EFFORT * effort * self.size / count)
            parameters = faiss.SearchParametersHNSW(efSearch=min(effort, _EF_MAX), sel=selector)
        wanted = min(k + _SPARE, count)
        _, rows = self._index.search(query[np.newaxis, :], wanted, params=parameters)
        found: Rows = np.unique(rows[0])
        # FAISS pads what it did not find with -1.
        return found[found >= 0]

    def _among(self, rows: Rows, query: Vector, k: int) -> tuple[Rows, Vector]:
        return best_rows(rows, exact_scores(self._vectors, rows, query), k)


def exact_scores(vectors: Vectors, rows: Rows, query: Vector) -> Vector:
    """Inner products of a query with chosen rows, without copying the rows, on one thread.

    Twice as fast as `vectors[rows] @ query`, which gathers first.

    Args:
        vectors: float32 (n, dim), C order.
        rows: int64 (m,), each in [0, n); ascending is kindest to the cache.
        query: float32 (dim,).

    Returns:
        float32 (m,).
    """
    scores = np.empty(len(rows), dtype=np.float32)
    rows = np.ascontiguousarray(rows, dtype=np.int64)
    faiss.fvec_inner_products_by_idx(
        faiss.swig_ptr(scores),
        faiss.swig_ptr(np.ascontiguousarray(query)),
        faiss.swig_ptr(vectors),
        faiss.swig_ptr(rows),
        vectors.shape[1],
        1,
        len(rows),
    )
    return scores


def _check_header(path: Path, factory: Factory, vectors: Vectors) -> None:
    with path.open("rb") as file:
        start = file.read(_HEADER.size)
    if len(start) < _HEADER.size:
        raise CorruptArtifact(f"{path.name} is too short to be a FAISS index.")
    tag, dim, rows, _, _, is_trained, metric = _HEADER.unpack(start)
    if tag != _TAGS[factory]:
        raise CorruptArtifact(f"{path.name} is not a FAISS index of type {factory}.")
    if (rows, dim) != vectors.shape:
        raise CorruptArtifact(
            f"{path.name} holds {rows} vectors of {dim} numbers, expected {vectors.shape}."
        )
    if not is_trained or metric != faiss.METRIC_INNER_PRODUCT:
        raise CorruptArtifact(f"{path.name} is not a trained index of inner products.")


def _check_opened(index: faiss.Index, path: Path, factory: Factory, vectors: Vectors) -> None:
    fits = (index.ntotal, index.d) == vectors.shape
    fits = fits and index.metric_type == faiss.METRIC_INNER_PRODUCT
    if type(index).__name__ != _CLASSES[factory] or not fits:
        raise CorruptArtifact(f"{path.name} is not the index that its first bytes announce.")
    if factory == "Flat":
        return
    storage = faiss.downcast_index(index.storage)
    fits = (storage.ntotal, storage.d) == vectors.shape
    fits = fits and index.hnsw.levels.size() == index.ntotal
    if type(storage).__name__ != "IndexScalarQuantizer" or not fits:
        raise CorruptArtifact(f"{path.name} holds a graph that does not fit its vectors.")
