"""What a search must never find in an inverted file, put into sound lists one at a time."""

from collections.abc import Callable

import faiss
import numpy as np
import pytest

from service.index.index_builder import Plan, build_stored
from service.index.lists_check import are_sound
from service.types import Vectors

MakeVectors = Callable[..., Vectors]
Damage = Callable[[faiss.InvertedLists], None]

KINDS = ("IVF8,SQ8", "IVF8,PQ4x4fs", "IVF8,RaBitQfs")


@pytest.fixture(params=KINDS)
def index(request: pytest.FixtureRequest, make_vectors: MakeVectors) -> faiss.IndexIVF:
    return build_stored(make_vectors(2_000, 8), Plan(request.param), seed=1).index


def _name(place: int, row: int) -> Damage:
    def change(lists: faiss.InvertedLists) -> None:
        faiss.rev_swig_ptr(lists.get_ids(2), lists.list_size(2))[place] = row

    return change


def _repeat(lists: faiss.InvertedLists) -> None:
    rows = faiss.rev_swig_ptr(lists.get_ids(2), lists.list_size(2))
    rows[0] = rows[1]


DAMAGE: dict[str, Damage] = {
    "a row behind the last": _name(0, 2_000),
    "a row before the first": _name(3, -1),
    "a row far away": _name(1, 1 << 40),
    "a row twice": _repeat,
}


def test_built_lists_are_sound(index: faiss.IndexIVF) -> None:
    assert are_sound(index)


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_lists_are_not(index: faiss.IndexIVF, damage: str) -> None:
    DAMAGE[damage](faiss.downcast_InvertedLists(index.invlists))
    assert not are_sound(index)


def test_rows_that_are_missing_are_noticed(index: faiss.IndexIVF) -> None:
    index.ntotal += 1
    assert not are_sound(index)


def test_an_empty_list_is_no_fault(make_vectors: MakeVectors) -> None:
    vectors = np.repeat(make_vectors(4, 8), 100, axis=0)
    assert are_sound(build_stored(vectors, Plan("IVF8,SQ8"), seed=1).index)
