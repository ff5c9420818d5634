"""A look inside small versions of which everything is known."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from service.errors import ItemNotFound
from service.index.snapshot import Snapshot
from service.pipelines.duplicate_items import NEARLY, fold_words
from service.pipelines.inspect_index import Inspection, inspect, neighbourhood
from service.pipelines.item_lines import title_of
from service.pipelines.neighbour_lists import ask, sample_rows
from service.types import Attributes, Item, ItemId, Vectors

MakeVersion = Callable[..., Snapshot]


def item(number: int, text: str | None = None, attributes: Attributes | None = None) -> Item:
    words = f"Thing number {number}" if text is None else text
    return Item(ItemId(f"t{number}"), words, attributes or {"title": words})


def scattered(count: int, dim: int = 24, seed: int = 5) -> Vectors:
    vectors = np.random.default_rng(seed).standard_normal((count, dim)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def repeated(found: Inspection) -> dict[str, list[list[str]]]:
    return {
        each.likeness: [[str(line.id) for line in twins.items] for twins in each.largest]
        for each in found.repeated
    }


def test_equal_texts_words_and_vectors_are_told_apart(make_version: MakeVersion) -> None:
    items = [item(number) for number in range(20)]
    items[1] = item(1, items[0].text)
    items[3] = item(3, "thing  NUMBER, ２！")
    vectors = scattered(20)
    vectors[5] = vectors[4]
    found = inspect(make_version(items, vectors))
    assert repeated(found) == {
        "same text": [["t0", "t1"]],
        "same words": [["t2", "t3"]],
        "same vector": [["t4", "t5"]],
    }
    assert [each.items for each in found.repeated] == [2, 2, 2]


def test_large_groups_come_first_and_name_five_of_their_items(make_version: MakeVersion) -> None:
    items = [item(n, "Three") if n < 3 else item(n, "Seven") for n in range(10)]
    found = inspect(make_version(items, scattered(10)), show=1)
    same_text = found.repeated[0]
    assert (same_text.groups, same_text.items) == (2, 10)
    assert [(twins.count, len(twins.items)) for twins in same_text.largest] == [(7, 5)]


def test_nearly_equal_vectors_are_pairs_and_equal_ones_are_not(make_version: MakeVersion) -> None:
    vectors = scattered(20)
    vectors[7] = 0.995 * vectors[6] + np.sqrt(1 - 0.995**2) * _across(vectors[6], vectors[0])
    vectors[9] = vectors[8]
    near = inspect(make_version([item(n) for n in range(20)], vectors)).near
    assert (near.pairs, near.asked) == (1, 2)
    (pair,) = near.closest
    assert (pair.first.id, pair.second.id) == ("t6", "t7")
    assert pair.cosine == pytest.approx(0.995, abs=1e-4)
    assert NEARLY < pair.cosine < 1


def test_item_that_everyone_is_near_to_is_the_hub(make_version: MakeVersion) -> None:
    vectors = 0.5 * scattered(300)
    vectors[:, 0] += 0.5
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[17] = 0
    vectors[17, 0] = 1
    hubness = inspect(make_version([item(n) for n in range(300)], vectors)).hubness
    top = hubness.most_listed[0]
    assert top.item.id == "t17"
    assert top.lists > 150
    assert top.z > 10
    assert hubness.share > 0.05
    assert hubness.unlisted is not None
    assert 0 < hubness.unlisted < 0.5


def test_item_far_from_all_others_is_the_first_outlier(make_version: MakeVersion) -> None:
    vectors = np.abs(scattered(60))
    vectors[33] = -vectors[33]
    outlier = inspect(make_version([item(n) for n in range(60)], vectors)).outliers[0]
    assert outlier.item.id == "t33"
    assert outlier.cosine < 0


def test_sample_is_chosen_by_the_seed_and_leaves_the_unlisted_open(
    make_version: MakeVersion,
) -> None:
    snapshot = make_version([item(n) for n in range(200)], scattered(200))
    found = inspect(snapshot, sample=50, seed=4)
    assert found == inspect(snapshot, sample=50, seed=4)
    assert (found.asked, found.seed) == (50, 4)
    assert found.hubness.unlisted is None
    assert found.outliers != inspect(snapshot, sample=50, seed=5).outliers


def test_sample_of_a_large_flat_index_is_bounded_by_its_products() -> None:
    class Million:
        def __len__(self) -> int:
            return 1_000_000

    class Described:
        table = Million()

        class manifest:  # noqa: N801
            factory = "Flat"

    rows = sample_rows(Described(), 5_000, 0)  # type: ignore[arg-type]
    assert len(rows) == 400
    assert (np.diff(rows) > 0).all()


def test_parts_add_up_to_the_files_of_the_version(make_version: MakeVersion) -> None:
    snapshot = make_version([item(n) for n in range(20)], scattered(20))
    found = inspect(snapshot)
    files = snapshot.manifest.files
    assert found.size_bytes == sum(each.size_bytes for each in files.values())
    assert sum(part.files for part in found.parts) == len(files)
    assert {"vectors.npy", "index.faiss", "items/items.jsonl"} <= {p.name for p in found.parts}


def test_a_single_item_has_no_neighbours_and_that_is_no_failure(make_version: MakeVersion) -> None:
    found = inspect(make_version([item(0)], scattered(1)))
    assert (found.asked, found.outliers, found.hubness.most_listed) == (1, (), ())
    assert found.hubness.unlisted is None


def test_neighbours_are_the_nearest_by_cosine_without_the_item(make_version: MakeVersion) -> None:
    vectors = scattered(40)
    around = neighbourhood(make_version([item(n) for n in range(40)], vectors), "t8", k=3)
    cosines = vectors @ vectors[8]
    order = [n for n in np.argsort(-cosines) if n != 8][:3]
    assert [each.item.id for each in around.neighbours] == [f"t{n}" for n in order]
    assert [each.cosine for each in around.neighbours] == pytest.approx(cosines[order], abs=1e-5)
    assert around.neighbours[0].text == f"Thing number {order[0]}"


def test_unknown_item_is_told_with_what_ids_look_like(make_version: MakeVersion) -> None:
    with pytest.raises(ItemNotFound, match=r"no item 'nobody'.*'t0'"):
        neighbourhood(make_version([item(0), item(1)], scattered(2)), "nobody")


def test_lists_are_padded_where_an_index_finds_less(make_version: MakeVersion) -> None:
    snapshot = make_version([item(n) for n in range(5)], scattered(5))
    lists = ask(snapshot, np.arange(5), 10)
    assert lists.found.shape == (5, 4)
    assert all(row not in found for row, found in zip(lists.rows, lists.found, strict=True))


def test_titles_are_one_printable_line() -> None:
    hostile = item(1, attributes={"title": "Red\x1b[31m\n\talert\u0007 " + "x" * 300})
    assert title_of(hostile).startswith("Red [31m alert xxx")
    assert len(title_of(hostile)) == 100


def test_without_a_title_the_text_stands_for_the_item() -> None:
    assert title_of(replace(item(1), attributes={"title": " "}, text="A text")) == "A text"
    assert title_of(Item(ItemId("1"), "text", {"name": "A name"})) == "A name"


@pytest.mark.parametrize(
    ("left", "right"),
    [("A red hat", "a RED   hat!"), ("ＡＢＣ－１", "abc 1"), ("苹果，香蕉", "苹果 香蕉。")],
)
def test_words_are_equal_whatever_their_case_width_and_punctuation(left: str, right: str) -> None:
    assert fold_words(left) == fold_words(right)


def _across(vector: Vectors, other: Vectors) -> Vectors:
    rest = other - (other @ vector) * vector
    across: Vectors = rest / np.linalg.norm(rest)
    return across
