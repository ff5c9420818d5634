"""What a user would otherwise pick: hnswlib, usearch and a plain FAISS graph, on one thread.

Each is built with its own usual settings, with the effort while building that its documentation
calls the default, and asked for one query at a time, as a service asks.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import faiss
import numpy as np
from numpy.typing import NDArray

from service.types import Vector, Vectors

Ask = Callable[[Vector, int], NDArray[np.int64]]
"""A query, float32 (dim,), and k: int64 (k,) rows."""


@dataclass(frozen=True, slots=True)
class Rival:
    """An opened index of somebody else's making.

    `effort` sets how hard it searches; `ask` finds the k best rows for one query.
    """

    name: str
    effort: Callable[[int], None]
    ask: Ask


def build_hnswlib(vectors: Vectors, path: Path) -> float:
    """Build with 16 links and ef 200, write, return seconds of processor time."""
    import hnswlib

    index = hnswlib.Index("ip", vectors.shape[1])
    started = time.thread_time()
    index.init_index(len(vectors), M=16, ef_construction=200, random_seed=1)
    index.add_items(vectors, num_threads=1)
    seconds = time.thread_time() - started
    index.save_index(str(path))
    return seconds


def open_hnswlib(path: Path, dim: int) -> Rival:
    """Open what `build_hnswlib` wrote."""
    import hnswlib

    index = hnswlib.Index("ip", dim)
    index.load_index(str(path))
    index.set_num_threads(1)

    def ask(query: Vector, k: int) -> NDArray[np.int64]:
        rows, _ = index.knn_query(query, k, num_threads=1)
        found: NDArray[np.int64] = rows[0].astype(np.int64)
        return found

    return Rival("hnswlib", index.set_ef, ask)


def build_usearch(vectors: Vectors, path: Path, dtype: str) -> float:
    """Build with usearch's defaults (16 links, expansion 128), write, return processor seconds."""
    from usearch.index import Index

    index = Index(ndim=vectors.shape[1], metric="ip", dtype=dtype)
    started = time.process_time()
    index.add(np.arange(len(vectors)), vectors, threads=1)
    seconds = time.process_time() - started
    index.save(str(path))
    return seconds


def open_usearch(path: Path, dtype: str) -> Rival:
    """Open what `build_usearch` wrote."""
    from usearch.index import Index

    index = Index.restore(str(path))
    if index is None:
        raise SystemExit(f"{path} cannot be opened by usearch.")

    def effort(expansion: int) -> None:
        index.expansion_search = expansion

    def ask(query: Vector, k: int) -> NDArray[np.int64]:
        return np.asarray(index.search(query, k, threads=1).keys, dtype=np.int64)

    return Rival(f"usearch {dtype}", effort, ask)


def build_plain_faiss(vectors: Vectors, path: Path, factory: str) -> float:
    """Build `HNSW32,Flat` or another graph with ef 100, write, return processor seconds."""
    index = faiss.index_factory(vectors.shape[1], factory, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = 100
    faiss.omp_set_num_threads(1)
    started = time.thread_time()
    index.train(vectors)
    index.add(vectors)
    seconds = time.thread_time() - started
    faiss.write_index(index, str(path))
    return seconds


def open_plain_faiss(path: Path, name: str) -> Rival:
    """Open what `build_plain_faiss` wrote, read into memory as its users do."""
    index = faiss.read_index(str(path))
    faiss.omp_set_num_threads(1)

    def effort(ef: int) -> None:
        index.hnsw.efSearch = ef

    def ask(query: Vector, k: int) -> NDArray[np.int64]:
        _, rows = index.search(query[np.newaxis], k)
        found: NDArray[np.int64] = rows[0]
        return found

    return Rival(name, effort, ask)


@dataclass(frozen=True, slots=True)
class RivalKind:
    """How a rival is built, with the processor seconds it took, and opened."""

    build: Callable[[Vectors, Path], float]
    open: Callable[[Path, int], Rival]


PLAIN = "faiss HNSW32,Flat"
RIVALS = {
    "hnswlib": RivalKind(build_hnswlib, open_hnswlib),
    "usearch bf16": RivalKind(
        lambda vectors, path: build_usearch(vectors, path, "bf16"),
        lambda path, _: open_usearch(path, "bf16"),
    ),
    "usearch i8": RivalKind(
        lambda vectors, path: build_usearch(vectors, path, "i8"),
        lambda path, _: open_usearch(path, "i8"),
    ),
    PLAIN: RivalKind(
        lambda vectors, path: build_plain_faiss(vectors, path, "HNSW32,Flat"),
        lambda path, _: open_plain_faiss(path, PLAIN),
    ),
}


def rival_file(folder: Path, name: str) -> Path:
    """Where a rival is kept."""
    return folder / (name.replace(" ", "-").replace(",", "-") + ".bin")


def build_rival(vectors: Vectors, name: str, folder: Path) -> float:
    """Build what is not there yet; processor seconds that it took."""
    path = rival_file(folder, name)
    note = path.with_suffix(".json")
    if not note.exists():
        note.write_text(json.dumps({"seconds": RIVALS[name].build(vectors, path)}))
    return float(json.loads(note.read_text())["seconds"])
