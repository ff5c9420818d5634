"""Building one FAISS index of a known type: axes, codes, graph or lists, and a kind order."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import faiss
import numpy as np
from numpy.typing import NDArray

from service.index.faiss_file import Lists, StoredIndex
from service.index.manifest import Factory
from service.types import Vectors

_ADD_ROWS = 8192
_SAMPLE_ROWS = 50_000
# Links are found by the axes that hold this share of all squared lengths.
_LINK_SHARE = 0.93
# Neighbourhoods of about this many rows lie together and are the lists of a search under a filter:
# of shorter ones fewer rows are compared, and of more centres more are.
_ROWS_TOGETHER = 50
_CENTRES_MAX = 8192


@dataclass(frozen=True, slots=True)
class Plan:
    """Which index to build. `ef_construction` is the effort of linking, None without a graph."""

    factory: Factory
    ef_construction: int | None = None

    @property
    def axes(self) -> int | None:
        """How many axes the stored vectors are written in; None: all, as they are."""
        first = self.factory.partition(",")[0]
        return int(first[3:]) if first.startswith("PCA") else None

    @property
    def inner(self) -> str:
        """The FAISS type without the change of axes."""
        return self.factory.partition(",")[2] if self.axes else self.factory


def build_stored(
    vectors: Vectors,
    plan: Plan,
    *,
    seed: int,
    threads: int = 1,
    progress: Callable[[int], None] | None = None,
) -> StoredIndex:
    """Build an index over vectors.

    With one thread the same vectors, plan and seed give the same bytes. More threads link a graph
    in an order of their own.

    Args:
        vectors: float32 (n, dim), n ≥ 1, C order.
        plan: what to build.
        seed: chooses samples, centres and the levels of a graph.
        threads: cores to use.
        progress: told how many vectors are in the index.
    """
    with _faiss_threads(threads):
        if plan.factory == "Flat":
            index = faiss.IndexFlatIP(vectors.shape[1])
            index.add(vectors)
            return StoredIndex(index)
        sample = _sample(vectors, seed)
        axes = None if plan.axes is None else main_axes(sample, plan.axes)
        if plan.ef_construction is None:
            return StoredIndex(_filled(vectors, sample, axes, plan, seed, progress), axes=axes)
        link_axes = _link_axes(sample, seed) if axes is None else axes
        index = _filled(vectors, sample, link_axes, plan, seed, progress)
        order, lists = _neighbours_together(vectors, sample, link_axes, seed)
        index.permute_entries(order)
        if axes is None and link_axes is not None:
            index = _with_all_numbers(index, vectors, sample, order)
            lists = None if lists is None else Lists(lists.centres @ link_axes, lists.starts)
        return StoredIndex(index, order.astype(np.int32), axes, lists)


def main_axes(sample: Vectors, count: int) -> Vectors:
    """The axes on which inner products lose least: no mean is taken away, unlike in plain PCA.

    Args:
        sample: float32 (n, dim).
        count: how many axes, at most dim.

    Returns:
        float32 (count, dim), orthonormal rows, the most important first.
    """
    _, columns = np.linalg.eigh(_moment(sample))
    # The sign of an eigenvector is a matter of the library: the largest number becomes positive.
    largest = np.abs(columns).argmax(axis=0)
    columns = columns * np.sign(columns[largest, np.arange(len(largest))])
    return np.ascontiguousarray(columns[:, ::-1][:, :count].T, dtype=np.float32)


def axes_for(vectors: Vectors, share: float, seed: int) -> int:
    """How many axes hold a share of the squared length of all vectors, a multiple of 32."""
    dim = vectors.shape[1]
    weights = np.linalg.eigvalsh(_moment(_sample(vectors, seed)))[::-1]
    held = np.cumsum(weights)
    return min(int(dim), 32 * (int(held.searchsorted(share * held[-1])) // 32 + 1))


def _moment(sample: Vectors) -> NDArray[np.float64]:
    moment: NDArray[np.float64] = (sample.T @ sample).astype(np.float64) / len(sample)
    return moment


def _link_axes(sample: Vectors, seed: int) -> Vectors | None:
    """Axes that are enough to find what to link, in half the time; None where it takes them all.

    A graph that was linked so finds as much as one that was linked by all numbers.
    """
    count = axes_for(sample, _LINK_SHARE, seed)
    return main_axes(sample, count) if count < sample.shape[1] else None


def _filled(
    vectors: Vectors,
    sample: Vectors,
    axes: Vectors | None,
    plan: Plan,
    seed: int,
    progress: Callable[[int], None] | None,
) -> faiss.Index:
    index = _empty(vectors.shape[1] if axes is None else len(axes), plan, seed)
    index.train(_written_in(sample, axes))
    for start in range(0, len(vectors), _ADD_ROWS):
        index.add(_written_in(vectors[start : start + _ADD_ROWS], axes))
        if progress:
            progress(index.ntotal)
    return index


def _with_all_numbers(
    linked: faiss.Index, vectors: Vectors, sample: Vectors, order: NDArray[np.int64]
) -> faiss.Index:
    """The same graph over codes of whole vectors; `order` names the row of each node."""
    linked_codes = faiss.downcast_index(linked.storage)
    links = linked.hnsw.nb_neighbors(1)
    index = faiss.IndexHNSWSQ(
        vectors.shape[1], linked_codes.sq.qtype, links, faiss.METRIC_INNER_PRODUCT
    )
    codes = faiss.downcast_index(index.storage)
    codes.train(sample)
    for start in range(0, len(order), _ADD_ROWS):
        codes.add(vectors[order[start : start + _ADD_ROWS]])
    index.hnsw = linked.hnsw
    index.ntotal, index.is_trained = linked.ntotal, True
    return index


def _empty(dim: int, plan: Plan, seed: int) -> faiss.Index:
    index = faiss.index_factory(dim, plan.inner, faiss.METRIC_INNER_PRODUCT)
    if plan.ef_construction is not None:
        index.hnsw.efConstruction = plan.ef_construction
        index.hnsw.rng = faiss.RandomGenerator(seed)
    else:
        index.cp.seed = seed
    return index


def _neighbours_together(
    vectors: Vectors, sample: Vectors, axes: Vectors | None, seed: int
) -> tuple[NDArray[np.int64], Lists | None]:
    """An order of rows in which near ones lie near each other in memory, and its lists.

    A walk through a graph then meets the same pages again: searches take a third less time.
    """
    count = min(_CENTRES_MAX, len(vectors) // _ROWS_TOGETHER)
    if count < 2:
        return np.arange(len(vectors), dtype=np.int64), None
    centres = _centres(_written_in(sample, axes), count, seed)
    quarters = _centres(centres, max(2, int(count**0.5)), seed)
    centres = centres[np.argsort(_nearest(centres, quarters), kind="stable")]
    centre = np.concatenate(
        [
            _nearest(_written_in(vectors[start : start + _ADD_ROWS], axes), centres)
            for start in range(0, len(vectors), _ADD_ROWS)
        ]
    )
    sizes = np.bincount(centre, minlength=len(centres))
    starts = np.concatenate(([0], sizes.cumsum())).astype(np.int32)
    return np.argsort(centre, kind="stable").astype(np.int64), Lists(centres, starts)


def _centres(vectors: Vectors, count: int, seed: int) -> Vectors:
    clustering = faiss.Kmeans(
        vectors.shape[1],
        min(count, len(vectors)),
        niter=6,
        seed=seed,
        min_points_per_centroid=1,
        max_points_per_centroid=64,
    )
    clustering.train(vectors)
    return np.asarray(clustering.centroids, dtype=np.float32)


def _nearest(vectors: Vectors, centres: Vectors) -> NDArray[np.int64]:
    flat = faiss.IndexFlatL2(centres.shape[1])
    flat.add(centres)
    found: NDArray[np.int64] = flat.search(vectors, 1)[1][:, 0]
    return found


def _sample(vectors: Vectors, seed: int) -> Vectors:
    if len(vectors) <= _SAMPLE_ROWS:
        return vectors
    chosen = np.random.default_rng(seed).choice(len(vectors), _SAMPLE_ROWS, replace=False)
    return vectors[np.sort(chosen)]


def _written_in(vectors: Vectors, axes: Vectors | None) -> Vectors:
    if axes is None:
        return np.ascontiguousarray(vectors)
    return np.ascontiguousarray(vectors @ axes.T)


@contextmanager
def _faiss_threads(threads: int) -> Iterator[None]:
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(threads)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)
