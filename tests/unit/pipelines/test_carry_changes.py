"""Live changes go into a version as `merge` says, without holding the catalogue in memory."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from service.catalogue.text import TextTemplate
from service.index.changes import (
    Change,
    Delete,
    Embedding,
    Patch,
    Put,
    fold,
    merge,
    numbered,
    shown_text,
)
from service.pipelines.carry_changes import CarriedChanges
from service.types import Attributes, Item, ItemId

TEMPLATE = TextTemplate("{title}")
_IDS = st.sampled_from([ItemId(name) for name in "abcdef"])
_ATTRIBUTES = st.fixed_dictionaries({"title": st.sampled_from(["x", "y", "z"])})


def embedded(attributes: Attributes) -> Embedding:
    return Embedding(str(attributes["title"]), np.zeros(2, np.float32), "m", "t")


def put(item_id: ItemId, attributes: Attributes) -> Change:
    return Put(0, item_id, attributes, embedded(attributes))


_CHANGES = st.lists(
    st.builds(put, _IDS, _ATTRIBUTES)
    | st.builds(lambda item_id, attributes: Patch(0, item_id, attributes), _IDS, _ATTRIBUTES)
    | st.builds(lambda item_id: Delete(0, item_id), _IDS),
    max_size=8,
)


def make(item_id: ItemId, attributes: Attributes) -> Item:
    return Item(item_id, shown_text(TEMPLATE, item_id, attributes), attributes)


@settings(deadline=None)
@given(_CHANGES, st.integers(0, 6))
def test_streamed_changes_give_what_merge_gives(changes: list[Change], count: int) -> None:
    items = [make(ItemId(name), {"title": "old"}) for name in "abcdef"[:count]]
    folded = fold(numbered(change, place) for place, change in enumerate(changes, start=1))
    carried = CarriedChanges(folded, TEMPLATE)
    taken: list[Item] = []
    for item in items:
        carried.apply(item, taken.append)
    carried.finish(taken.append)
    assert taken == merge(items, folded, make)


@settings(deadline=None)
@given(_CHANGES, st.integers(0, 6), st.sets(_IDS))
def test_what_was_withheld_before_counts_as_deleted_before_all_changes(
    changes: list[Change], count: int, withheld: set[ItemId]
) -> None:
    items = [make(ItemId(name), {"title": "old"}) for name in "abcdef"[:count]]
    deleted = [Delete(0, item_id) for item_id in sorted(withheld)]
    # A service refuses to patch what is not there.
    changes = [each for each in changes if not isinstance(each, Patch) or each.id not in withheld]
    history = [numbered(each, place) for place, each in enumerate([*deleted, *changes], start=1)]
    carried = CarriedChanges(fold(history, after=len(deleted)), TEMPLATE, sorted(withheld))
    taken: list[Item] = []
    for item in items:
        carried.apply(item, taken.append)
    carried.finish(taken.append)
    assert taken == merge(items, fold(history), make)
    assert set(carried.withheld) == {item.id for item in items} - {item.id for item in taken}
