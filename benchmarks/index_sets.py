"""What an index is built over and asked for: made vectors, or those of texts, kept in a folder.

vectors.npy   float32 (count, 384), what is indexed
queries.npy   float32 (4000, 384), what recall and time are measured with
held_out.npy  float32 (4096, 384), what our efforts are chosen with
true-*.npy    true neighbours, worked out once
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.index_measure import true_rows
from benchmarks.index_texts import encode, make_texts
from benchmarks.index_vectors import DIM, World, blocks
from benchmarks.worker import ROOT
from service.index.vectors import open_vectors
from service.types import Vectors

QUERIES, HELD_OUT = 4_000, 4_096


def made_set(folder: Path, count: int) -> None:
    """Make vectors and queries of `benchmarks/index_vectors.py`."""
    world = World.make(seed=1)
    vectors = np.lib.format.open_memmap(folder / "vectors.npy", "w+", np.float32, (count, DIM))
    for start, block in blocks(world, count, seed=100):
        vectors[start : start + len(block)] = block
    vectors.flush()
    np.save(folder / "held_out.npy", world.draw(HELD_OUT, seed=77), allow_pickle=False)
    np.save(folder / "queries.npy", world.draw(QUERIES, seed=99), allow_pickle=False)


def text_set(folder: Path, count: int) -> None:
    """Encode texts; queries are texts of the same kind that are not indexed."""
    texts = make_texts(ROOT.parent / "shared" / "data", count + HELD_OUT + QUERIES, seed=1)
    encoded = np.concatenate(list(encode(ROOT / "models", texts)))
    np.save(folder / "vectors.npy", encoded[:count], allow_pickle=False)
    np.save(folder / "held_out.npy", encoded[count : count + HELD_OUT], allow_pickle=False)
    np.save(folder / "queries.npy", encoded[count + HELD_OUT :], allow_pickle=False)


SETS: dict[str, Callable[[Path, int], None]] = {"made": made_set, "texts": text_set}


def open_set(folder: Path, kind: str, count: int) -> tuple[Vectors, Vectors, Vectors]:
    """Map vectors, held-out queries and queries, and make them first where they are not there."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "queries.npy").exists():
        SETS[kind](folder, count)
    held_out, queries = (
        np.load(folder / f"{name}.npy", allow_pickle=False) for name in ("held_out", "queries")
    )
    return open_vectors(folder / "vectors.npy", count, DIM), held_out, queries


def kept_truth(
    folder: Path, name: str, vectors: Vectors, queries: Vectors, k: int
) -> NDArray[np.int64]:
    """The k true neighbours of each query, from the folder if they were worked out before."""
    return kept(folder / f"true-{name}.npy", lambda: true_rows(vectors, queries, k))


def kept(path: Path, work_out: Callable[[], NDArray[np.int64]]) -> NDArray[np.int64]:
    """An array of a file, worked out and written if there is none."""
    if not path.exists():
        np.save(path, work_out(), allow_pickle=False)
    known: NDArray[np.int64] = np.load(path, allow_pickle=False)
    return known
