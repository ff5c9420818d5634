from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from service.index.figures import compare, hub_share, measure
from service.index.snapshot import Snapshot, open_snapshot
from service.types import Vectors

WriteVersion = Callable[..., str]
MakeVectors = Callable[..., Vectors]
Open = Callable[..., Snapshot]


@pytest.fixture
def version(write_version: WriteVersion, indexes: Path) -> Open:
    def write(**arguments: object) -> Snapshot:
        return open_snapshot(indexes / "pins" / write_version(**arguments))

    return write


def test_sound_version_has_full_lists_no_twins_and_no_hubs(
    version: Open, make_vectors: MakeVectors
) -> None:
    vectors = make_vectors(400, 16)
    figures = measure(version(vectors=vectors / np.linalg.norm(vectors, axis=1, keepdims=True)))
    assert figures.probes == 400
    assert (figures.empty, figures.recall, figures.duplicates) == (0.0, 1.0, 0.0)
    assert figures.hubs < 0.05


def test_same_seed_gives_the_same_figures(version: Open) -> None:
    snapshot = version(items=1500)
    assert measure(snapshot, seed=3) == measure(snapshot, seed=3)


def test_items_of_the_same_vector_are_duplicates(version: Open, make_vectors: MakeVectors) -> None:
    vectors = make_vectors(200, 16)
    vectors[50:100] = vectors[:50]
    assert measure(version(vectors=vectors)).duplicates == pytest.approx(0.5, abs=0.02)


def test_items_of_the_same_text_are_duplicates(version: Open) -> None:
    assert measure(version(items=40, title="The same pin")).duplicates == 1.0


def test_item_in_every_list_is_a_hub(version: Open, make_vectors: MakeVectors) -> None:
    vectors = make_vectors(500, 16)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[:, 0] += 1.0
    vectors[7] = 0.0
    vectors[7, 0] = 50.0
    # One of ten places of every list but its own.
    assert measure(version(vectors=vectors)).hubs >= 0.09


def test_hub_share_counts_places_not_items() -> None:
    lists = [np.array([0, 1 + n % 99], dtype=np.int64) for n in range(200)]
    assert hub_share(lists, items=100) == 0.5
    assert hub_share(lists, items=1_000_000) == 0.5
    assert hub_share([], items=5) == 0.0


def test_version_is_like_itself(version: Open) -> None:
    snapshot = version(items=300)
    parity = compare(snapshot, snapshot)
    assert (parity.sentinels, parity.overlap) == (256, 1.0)


def test_new_and_deleted_items_do_not_disturb_the_comparison(
    version: Open, make_vectors: MakeVectors
) -> None:
    vectors = make_vectors(300, 16)
    before, after = version(vectors=vectors[:250]), version(vectors=vectors)
    assert compare(after, before).overlap == 1.0


def test_other_vectors_give_other_neighbours(version: Open) -> None:
    assert compare(version(items=300), version(items=300)).overlap < 0.2


def test_one_item_has_nothing_to_find_and_nothing_wrong(version: Open) -> None:
    snapshot = version(items=1)
    figures = measure(snapshot)
    assert (figures.empty, figures.recall, figures.hubs) == (0.0, 1.0, 0.0)
    assert compare(snapshot, snapshot).overlap == 0.0
