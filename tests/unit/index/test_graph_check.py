"""What a walk must never meet, put into a sound graph one at a time."""

from collections.abc import Callable

import faiss
import numpy as np
import pytest

from service.index.graph_check import is_sound, view
from service.index.index_builder import Plan, build_stored
from service.types import Vectors

MakeVectors = Callable[..., Vectors]
Damage = Callable[[faiss.IndexHNSWSQ], None]


@pytest.fixture
def graph(make_vectors: MakeVectors) -> faiss.IndexHNSWSQ:
    return build_stored(make_vectors(2_000, 8), Plan("HNSW8,SQ8", 20), seed=1).index


def _set(name: str, place: int, value: int) -> Damage:
    def change(index: faiss.IndexHNSWSQ) -> None:
        view(getattr(index.hnsw, name))[place] = value

    return change


def _cut(name: str) -> Damage:
    def change(index: faiss.IndexHNSWSQ) -> None:
        vector = getattr(index.hnsw, name)
        vector.resize(vector.size() - 1)

    return change


def _assign(name: str, value: int) -> Damage:
    return lambda index: setattr(index.hnsw, name, value)


def _climb(index: faiss.IndexHNSWSQ) -> None:
    """Put a node of the ground level among the neighbours one level up."""
    graph, levels = index.hnsw, view(index.hnsw.levels)
    first = int(view(graph.offsets)[levels.argmax()])
    view(graph.neighbors)[first + graph.nb_neighbors(0)] = levels.argmin()


def _shorten_codes(index: faiss.IndexHNSWSQ) -> None:
    codes = faiss.downcast_index(index.storage).codes
    codes.resize(codes.size() - 1)


def _forget_steps(index: faiss.IndexHNSWSQ) -> None:
    faiss.downcast_index(index.storage).sq.trained.resize(8)


def _widen(index: faiss.IndexHNSWSQ) -> None:
    """Give an upper level more neighbours than there is room for."""
    starts = view(index.hnsw.cum_nneighbor_per_level)
    starts[2:] = starts[2:].astype(np.int64) + 40


DAMAGES: dict[str, Damage] = {
    "link beyond the end": _set("neighbors", 0, 2_000),
    "link before the start": _set("neighbors", 5, -2),
    "link to a lower level": _climb,
    "link missing": _cut("neighbors"),
    "offset of the first": _set("offsets", 0, 1),
    "offset of one": _set("offsets", 7, 1 << 40),
    "offset missing": _cut("offsets"),
    "level of nowhere": _set("levels", 3, 0),
    "level too high": _set("levels", 3, 1_000),
    "level missing": _cut("levels"),
    "entry beyond the end": _assign("entry_point", 2_000),
    "no entry": _assign("entry_point", -1),
    "higher than the entry": _assign("max_level", 30),
    "below the ground": _assign("max_level", -1),
    "start of the ground level": _set("cum_nneighbor_per_level", 0, 1),
    "level of no width": _set("cum_nneighbor_per_level", 1, 0),
    "level too wide": _widen,
    "code missing": _shorten_codes,
    "steps missing": _forget_steps,
}


def test_graph_as_built_is_sound(graph: faiss.IndexHNSWSQ) -> None:
    assert is_sound(graph)


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_damage_is_noticed(graph: faiss.IndexHNSWSQ, damage: Damage) -> None:
    damage(graph)
    assert not is_sound(graph)


def test_numbers_are_seen_where_they_are(graph: faiss.IndexHNSWSQ) -> None:
    np.testing.assert_array_equal(view(graph.hnsw.levels), faiss.vector_to_array(graph.hnsw.levels))
