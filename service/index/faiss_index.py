"""The served index: opened memory-mapped, never changed, exact where that is cheaper."""

from dataclasses import replace
from math import sqrt
from pathlib import Path

import faiss
import numpy as np
from numpy.typing import NDArray

from service.index.code_search import CodeSearch, Effort
from service.index.exact_index import best_rows, exact_scores
from service.index.faiss_file import StoredIndex
from service.index.manifest import EfSearch, Factory
from service.index.retriever import Neighbours, check_finite, check_search, padded
from service.index.selection import Selection, Selections
from service.types import Mask, Rows, Vector, Vectors

# A walk has to pass through what a filter forbids: its effort grows as the share that is allowed
# falls, while looking at every allowed row gets cheaper. One more candidate costs about as much as
# this many inner products of full vectors; measured, see docs/benchmarks/index.md.
_PRODUCTS_PER_CANDIDATE = 16
# Below this a search of every row takes less than the walk's own overhead.
_FEW_MIN = 2_000
# A list can be filled by rows with equal codes where there are so few.
_SO_FEW = 256
# Comparing so many codes one by one takes less than choosing among the lists of so many rows, and
# always finds the best; measured, see there.
_FEW_CODES_MIN, _FEW_CODES_MAX, _FEW_CODES_SHARE = 4_000, 15_000, 16
# A filter rarely leaves an even share of every neighbourhood: what it left here is thinner.
_FILTER_EFFORT = 1.5
# Efforts are chosen for 10 neighbours and up: fewer are the first of those.
_ANCHOR_MIN = 10
# Efforts for so many numbers of neighbours and allowed rows.
_REMEMBERED = 1_000
# Beyond this a walk through the graph costs more than looking at every allowed row.
_EF_MAX = 4096


class FaissIndex:
    """Searches a FAISS index and the full vectors behind it.

    Scores are inner products of the full vectors, whatever the index stores, unless `ef_search`
    says that they are not to be touched. A graph over 8-bit codes is searched by `CodeSearch`
    where that was compiled, everything else by FAISS. Safe to call from several threads: search
    parameters belong to the call, and both release the GIL.

    Args:
        stored: the index, or a plain FAISS index whose ids are rows.
        vectors: float32 (n, dim), C order.
        ef_search: how hard to search; None for flat.
    """

    def __init__(
        self, stored: StoredIndex | faiss.Index, vectors: Vectors, ef_search: EfSearch | None
    ) -> None:
        self._stored = stored if isinstance(stored, StoredIndex) else StoredIndex(stored)
        self._vectors = vectors
        self._ef_search = ef_search
        self._is_ivf = hasattr(self._stored.index, "nprobe")
        # What a search for k without a filter is told: the same every time, so made once.
        self._unfiltered: dict[int, faiss.SearchParameters] = {}
        self._codes, starts = self._code_search(vectors, ef_search)
        self._efforts: dict[tuple[int, int], Effort] = {}
        self._few = few_survivors(len(vectors), ef_search)
        if starts is not None:
            share = len(vectors) // _FEW_CODES_SHARE
            self._few = min(max(_FEW_CODES_MIN, share), _FEW_CODES_MAX)
        self._selections = Selections(self._stored.rows, self._few, starts)

    def _code_search(
        self, vectors: Vectors, effort: EfSearch | None
    ) -> tuple[CodeSearch | None, NDArray[np.int32] | None]:
        """The compiled search, if it fits, and where the lists start that it is to use."""
        # What takes longer than all of these rows is the call.
        if effort is None or self.size <= _FEW_MIN:
            return None, None
        codes = CodeSearch.over(self._stored, vectors, rescored=effort.rescored)
        lists = self._stored.lists
        if codes is None or lists is None or not effort.compared_at_10:
            return codes, None
        return codes, lists.starts

    @classmethod
    def open(
        cls, path: Path, vectors: Vectors, *, factory: Factory, ef_search: EfSearch | None
    ) -> "FaissIndex":
        """Map an index file, and those beside it, into memory. Verify their hashes first.

        Raises:
            CorruptArtifact: another type, size, dimension or metric than expected.
        """
        return cls(StoredIndex.open(path, vectors, factory), vectors, ef_search)

    @property
    def dim(self) -> int:
        """Numbers in a vector."""
        return int(self._vectors.shape[1])

    @property
    def size(self) -> int:
        """Vectors that can be found."""
        return len(self._vectors)

    @property
    def is_compiled(self) -> bool:
        """Whether the compiled library searches it."""
        return self._codes is not None

    def search(
        self, queries: Vectors, k: int, allowed: Mask | None = None, near: Rows | None = None
    ) -> Neighbours:
        """Find the k best rows for every query; see `Retriever.search`.

        Exact for a flat index and where a filter leaves few rows, see `few_survivors`.
        """
        queries = check_search(queries, k, allowed, dim=self.dim, size=self.size)
        selection = None if allowed is None else self._selections.of(allowed)
        if self._codes is not None and (selection is None or selection.fits_codes):
            return self._search_codes(self._codes, queries, k, selection, near)
        check_finite(queries)
        # A thread that never said so would start FAISS's threads, one pool for every caller.
        faiss.omp_set_num_threads(1)
        found, scores = padded(len(queries), k)
        for line, query in enumerate(queries):
            rows, best = self._nearest(query, k, selection)
            found[line, : len(rows)] = rows
            scores[line, : len(rows)] = best
        return found, scores

    def candidates(self, queries: Vectors, k: int, count: int) -> Rows:
        """What a search for k meets, best first by the codes, before any row is scored again.

        Args:
            queries: float32 (q, dim), C order, finite.
            k: how many neighbours the search is for.
            count: how many to return, at most what a walk keeps.

        Returns:
            int64 (q, count), padded with -1.
        """
        if self._codes is not None:
            effort = replace(self.effort(k, self.size), again=count)
            return self._codes.search(queries, count, effort)[0][0]
        faiss.omp_set_num_threads(1)
        found, _ = padded(len(queries), count)
        for line, query in enumerate(queries):
            rows, _ = self._candidates(query, count, self.size, None)
            found[line, : len(rows)] = rows[:count]
        return found

    def effort(self, k: int, count: int) -> Effort:
        """How hard `CodeSearch` has to search for k of `count` rows."""
        known = self._efforts.get((k, count))
        if known is None:
            effort = self._ef_search
            assert effort is not None, "codes belong to an index with an effort"
            known = Effort(
                kept=effort.kept(k),
                again=min(k + effort.spare(k), count),
                compared=effort.compared(k),
                anchor=max(k, _ANCHOR_MIN),
                reach=effort.reach(k),
                longest=effort.longest,
            )
            if len(self._efforts) < _REMEMBERED:
                self._efforts[k, count] = known
        return known

    def _search_codes(
        self,
        codes: CodeSearch,
        queries: Vectors,
        k: int,
        selection: Selection | None,
        near: Rows | None,
    ) -> Neighbours:
        count = self.size if selection is None else selection.count
        if k > count:
            check_finite(queries)
            found, scores = padded(len(queries), k)
            if count:
                few = self._search_codes(codes, queries, count, selection, near)
                found[:, :count], scores[:, :count] = few
            return found, scores
        effort = self.effort(k, count)
        (found, scores), short = codes.search(queries, k, effort, selection, near)
        for line in short:
            # A walk can end early, between many equal vectors for one. Never silently short.
            everything = np.arange(self.size) if selection is None else selection.mask.nonzero()[0]
            found[line], scores[line] = self._among(everything, queries[line], k)
        return found, scores

    def _nearest(self, query: Vector, k: int, selection: Selection | None) -> tuple[Rows, Vector]:
        if selection is not None and selection.rows is not None:
            return self._among(selection.rows, query, k)
        is_rescored = self._ef_search is None or self._ef_search.rescored
        if selection is None and self.size <= _SO_FEW and is_rescored:
            return self._among(np.arange(self.size), query, k)
        count = self.size if selection is None else selection.count
        rows, estimates = self._candidates(query, k, count, selection)
        if selection is not None:
            # FAISS has returned ids that its selector forbids (issue 5504): look again.
            kept = selection.mask[rows]
            rows, estimates = rows[kept], estimates[kept]
        if len(rows) < min(k, count):
            # A walk can end early, between many equal vectors for one. Never silently short.
            everything = np.arange(self.size) if selection is None else selection.mask.nonzero()[0]
            return self._among(everything, query, k)
        if not is_rescored:
            return best_rows(rows, estimates, k)
        return self._among(rows, query, k)

    def _candidates(
        self, query: Vector, k: int, count: int, selection: Selection | None
    ) -> tuple[Rows, Vector]:
        """Ask FAISS for a few more than k of `count` allowed rows, with its estimated scores."""
        effort = self._ef_search
        wanted = min(k + (effort.spare(k) if effort else 0), count)
        if selection is not None:
            parameters = self._parameters(k, count, selection)
        elif (known := self._unfiltered.get(k)) is not None:
            parameters = known
        else:
            parameters = self._unfiltered[k] = self._parameters(k, count, None)
        axes, order = self._stored.axes, self._stored.rows
        line = np.ascontiguousarray(query if axes is None else axes @ query)
        scores, found = np.empty(wanted, np.float32), np.empty(wanted, np.int64)
        # The wrapper around this call checks and copies what is known to be right here.
        self._stored.index.search_c(
            1,
            faiss.swig_ptr(line),
            wanted,
            faiss.swig_ptr(scores),
            faiss.swig_ptr(found),
            parameters,
        )
        if found[-1] < 0:
            # FAISS pads what it did not find with -1.
            scores, found = scores[found >= 0], found[found >= 0]
        return found if order is None else order[found].astype(np.int64), scores

    def _parameters(
        self, k: int, count: int, selection: Selection | None
    ) -> faiss.SearchParameters:
        selector = None
        if selection is not None:
            assert selection.bits is not None, "few survivors never come here"
            selector = faiss.IDSelectorBitmap(selection.bits)
        if self._ef_search is None:
            return faiss.SearchParameters(sel=selector)
        effort = self._ef_search.at(k)
        if selection is not None:
            # Of the rows that a walk meets only this share may be kept.
            effort = int(_FILTER_EFFORT * effort * self.size / count)
        if self._is_ivf:
            lists = min(effort, self._stored.index.nlist)
            return faiss.SearchParametersIVF(nprobe=lists, sel=selector)
        return faiss.SearchParametersHNSW(efSearch=min(effort, _EF_MAX), sel=selector)

    def _among(self, rows: Rows, query: Vector, k: int) -> tuple[Rows, Vector]:
        return best_rows(rows, exact_scores(self._vectors, rows, query), k)


def few_survivors(size: int, ef_search: EfSearch | None) -> int:
    """How many rows a filter may leave for every one of them to be looked at, which is exact.

    Where r of n rows are allowed, a walk for 10 neighbours keeps about n / r times the candidates
    of a search without a filter: it costs as much as looking at r rows where r² = 16·1.5·ef·n.
    """
    if ef_search is None:
        return size
    return max(
        _FEW_MIN, int(sqrt(_PRODUCTS_PER_CANDIDATE * _FILTER_EFFORT * ef_search.at_10 * size))
    )
