"""Two small versions of which it is known what changed."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from service.index.snapshot import Snapshot
from service.pipelines.index_difference import Difference, difference
from service.types import Item, ItemId, Vectors

MakeVersion = Callable[..., Snapshot]


def things(count: int = 40) -> list[Item]:
    return [
        Item(ItemId(f"t{n}"), f"Thing {n}", {"title": f"Thing {n}", "price": n})
        for n in range(count)
    ]


def scattered(count: int = 40, dim: int = 16, seed: int = 5) -> Vectors:
    vectors = np.random.default_rng(seed).standard_normal((count, dim)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def facts(found: Difference) -> dict[str, tuple[str, str]]:
    return {each.name: (each.before, each.after) for each in found.facts}


def test_same_items_and_vectors_differ_in_nothing(make_version: MakeVersion) -> None:
    found = difference(make_version(things(), scattered()), make_version(things(), scattered()))
    items = found.items
    assert (items.added, items.removed, items.new_text, items.new_attributes) == (0, 0, 0, 0)
    assert found.facts == ()
    assert (found.lists.asked, found.lists.overlap, found.lists.identical) == (40, 1.0, 40)
    assert found.lists.shared == (0,) * 10 + (40,)
    assert found.lists.most_changed == ()
    assert found.parity is not None
    assert found.parity.overlap == 1.0


def test_order_of_the_catalogue_changes_nothing(make_version: MakeVersion) -> None:
    order = np.random.default_rng(1).permutation(40)
    shuffled = [things()[n] for n in order]
    found = difference(
        make_version(things(), scattered()), make_version(shuffled, scattered()[order])
    )
    assert (found.items.added, found.items.removed, found.lists.overlap) == (0, 0, 1.0)


def test_added_removed_and_changed_items_are_counted_and_named(make_version: MakeVersion) -> None:
    new = things(42)[2:]
    new[0] = replace(new[0], text="Another text")
    new[1] = replace(new[1], attributes={"title": "Another title", "price": 3})
    new[2] = replace(new[2], attributes={"title": "Thing 4", "price": 99, "stock": True})
    vectors = scattered(42)
    found = difference(make_version(things(), vectors[:40]), make_version(new, vectors[2:])).items
    assert (found.before, found.after) == (40, 40)
    assert (found.added, found.removed) == (2, 2)
    assert (found.new_text, found.new_attributes) == (1, 2)
    assert found.keys == {"title": 1, "price": 1, "stock": 1}
    assert [line.id for line in found.examples_added] == ["t40", "t41"]
    assert [line.id for line in found.examples_removed] == ["t0", "t1"]
    text, title, price = found.examples_changed
    assert (text.item.id, text.keys) == ("t2", ())
    assert (title.before, title.item.title, title.keys) == ("Thing 3", "Another title", ("title",))
    assert price.keys == ("price", "stock")


def test_moved_item_has_the_most_changed_list_side_by_side(make_version: MakeVersion) -> None:
    chance = np.random.default_rng(2)
    centres = np.repeat(np.eye(16, dtype=np.float32)[:2], 20, axis=0)
    vectors = (centres + 0.05 * chance.standard_normal((40, 16))).astype(np.float32)
    moved = vectors.copy()
    moved[3] = vectors[25] + 0.01
    found = difference(make_version(things(), vectors), make_version(things(), moved), show=1)
    (worst,) = found.lists.most_changed
    assert (worst.item.id, worst.shared) == ("t3", 0)
    assert all(int(each.item.id[1:]) < 20 for each in worst.before)
    assert all(int(each.item.id[1:]) >= 20 for each in worst.after)
    assert found.lists.shared[0] == 1
    assert found.lists.overlap < 1


def test_new_and_removed_items_are_marked_in_the_lists(make_version: MakeVersion) -> None:
    vectors = scattered(42)
    vectors[40] = vectors[7] + 0.01
    before = make_version(things()[:39], vectors[:39])
    after = make_version(things(42)[:38] + things(42)[40:], np.delete(vectors, [38, 39], axis=0))
    found = difference(before, after, show=50)
    lists = {each.item.id: each for each in found.lists.most_changed}
    seven = lists[ItemId("t7")]
    assert (seven.after[0].item.id, seven.after[0].only_here) == ("t40", True)
    assert not any(each.only_here for each in seven.after if each.item.id not in ("t40", "t41"))
    gone = [each for one in lists.values() for each in one.before if each.only_here]
    assert {each.item.id for each in gone} == {"t38"}


def test_another_model_and_template_are_told_and_not_put_to_the_gate(
    make_version: MakeVersion,
) -> None:
    before = make_version(things(), scattered())
    after = make_version(things(), scattered(dim=8), model="another", pattern="{title}. {price}")
    found = difference(before, after)
    told = facts(found)
    assert told["model"] == ("by-hand@0000000", "another@0000000")
    assert told["template"] == ("{title}", "{title}. {price}")
    assert told["dimensions"] == ("16", "8")
    assert found.parity is None
    assert 0 < found.lists.overlap < 0.9


def test_sample_is_chosen_by_the_seed(make_version: MakeVersion) -> None:
    before, after = make_version(things(), scattered()), make_version(things(), scattered(seed=6))
    found = difference(before, after, sample=10, seed=3)
    assert found.lists.asked == sum(found.lists.shared) == 10
    assert found == difference(before, after, sample=10, seed=3)
    assert found.lists != difference(before, after, sample=10, seed=4).lists


def test_versions_without_a_common_item_have_no_lists_to_compare(
    make_version: MakeVersion,
) -> None:
    others = [replace(each, id=ItemId(f"other {each.id}")) for each in things(12)]
    found = difference(make_version(things(), scattered()), make_version(others, scattered(12)))
    assert (found.items.added, found.items.removed) == (12, 40)
    assert (found.lists.asked, found.lists.overlap) == (0, 1.0)
    assert facts(found)["items"] == ("40", "12")


@pytest.mark.parametrize("count", [1, 2])
def test_tiny_catalogues_can_be_compared(make_version: MakeVersion, count: int) -> None:
    versions = [make_version(things(count), scattered(count)) for _ in range(2)]
    assert difference(*versions).lists.overlap == 1.0
