"""A rebuild keeps what a catalogue was tuned to."""

from collections.abc import Callable
from pathlib import Path

import pytest

from service.artifacts import write_atomic
from service.index.built_index import BuiltIndex, build_faiss, measured
from service.index.index_builder import Plan, build_stored
from service.index.layout import CURRENT
from service.index.recall_queries import RecallQueries
from service.index.served_plan import ServedPlan, served_plan
from service.types import Vectors

MakeVectors = Callable[..., Vectors]
WriteVersion = Callable[..., str]

LISTS = Plan("IVF8,SQ8")


@pytest.fixture
def vectors(make_vectors: MakeVectors) -> Vectors:
    return make_vectors(1_000, 8)


def tuned(vectors: Vectors, *, rescored: bool = True) -> BuiltIndex:
    stored, queries = build_stored(vectors, LISTS, seed=1), RecallQueries.sample(vectors, 1)
    return measured(stored, LISTS, queries, (0.9, 0.9), rescored=rescored)


def serve(indexes: Path, version: str) -> None:
    write_atomic(indexes / "pins" / CURRENT, version.encode() + b"\n")


def test_without_a_served_version_the_usual_index_is_built(
    indexes: Path, write_version: WriteVersion, vectors: Vectors
) -> None:
    assert served_plan(indexes, "pins") == ServedPlan()
    write_version(vectors=vectors, built=tuned(vectors))
    assert served_plan(indexes, "pins") == ServedPlan()


def test_an_exact_index_says_nothing_about_a_catalogue_that_has_grown(
    indexes: Path, write_version: WriteVersion
) -> None:
    serve(indexes, write_version())
    assert served_plan(indexes, "pins") == ServedPlan()


@pytest.mark.parametrize("rescored", [True, False])
def test_the_type_and_the_use_of_full_vectors_are_those_of_the_served_version(
    indexes: Path, write_version: WriteVersion, vectors: Vectors, rescored: bool
) -> None:
    serve(indexes, write_version(vectors=vectors, built=tuned(vectors, rescored=rescored)))
    served = served_plan(indexes, "pins")
    assert served == ServedPlan(LISTS, rescored)
    built = build_faiss(
        vectors, seed=1, plan=served.plan, rescored=served.rescored, exact_items=0, recall_floor=0.5
    )
    assert (built.factory, built.ef_search.rescored if built.ef_search else None) == (
        "IVF8,SQ8",
        rescored,
    )
