"""The items that changed since a version was built, as one immutable value beside the version."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import orjson

from service.catalogue.text import TextTemplate
from service.index.availability import Availability, end_or_never, is_hidden
from service.index.changes import Change, Delete, Embedding, Patch, Put, patched, shown_text
from service.index.fresh_columns import FreshColumns
from service.index.snapshot import Snapshot
from service.index.vectors import check_vectors
from service.types import Attributes, Item, ItemId, Rows, Vector, Vectors

Encode: TypeAlias = Callable[[Sequence[str]], Vectors]
"""Encodes texts of items with the model of the version: float32 (n, dim)."""

AFTER_ALL = -1
"""The place of an item that the version does not have."""


@dataclass(frozen=True, slots=True, eq=False)
class FreshItem:
    """An item as it is now, and what is asked of it often.

    Args:
        item: id, text and attributes.
        place: row of the version whose item it replaces, `AFTER_ALL` if there is none.
        is_hidden: whether it may not be shown.
        end: when its time is over, seconds since 1970.
    """

    item: Item
    place: int
    is_hidden: bool
    end: float

    @classmethod
    def of(cls, item: Item, place: int) -> "FreshItem":
        """Take the rest from the item's attributes."""
        return cls(item, place, is_hidden(item.attributes), end_or_never(item.attributes))

    def written(self) -> tuple[bytes, bytes]:
        """Return its id and attributes as JSON, as a table has them."""
        attributes = orjson.dumps(self.item.attributes, option=orjson.OPT_SORT_KEYS)
        return orjson.dumps(self.item.id), attributes


@dataclass(frozen=True, slots=True, eq=False)
class FreshItems:
    """What is different from a version. Never changes: `apply` makes another one.

    Args:
        snapshot: the version.
        by_id: every item put or patched since, in the order of the catalogue.
        slots: position in that order, by id.
        vectors: float32 (len(by_id), dim), read-only, in the same order.
        gone: rows of the version that count no more: replaced or deleted.
        limited: ids of items that are hidden or will expire.
        sequence: of the last change that is in here.
    """

    snapshot: Snapshot
    by_id: Mapping[ItemId, FreshItem]
    slots: Mapping[ItemId, int]
    vectors: Vectors
    gone: frozenset[int]
    limited: frozenset[ItemId]
    sequence: int
    items: tuple[FreshItem, ...] = field(init=False)
    """By position."""
    columns: FreshColumns = field(init=False)

    def __post_init__(self) -> None:
        self.vectors.setflags(write=False)
        items = tuple(self.by_id.values())
        object.__setattr__(self, "items", items)
        object.__setattr__(self, "columns", FreshColumns([each.item for each in items]))

    @classmethod
    def none(cls, snapshot: Snapshot) -> "FreshItems":
        """Start with a version as it was built."""
        empty = np.empty((0, snapshot.manifest.dim), np.float32)
        contained = snapshot.manifest.contained_changes
        return cls(snapshot, {}, {}, empty, frozenset(), frozenset(), contained)

    @property
    def availability(self) -> Availability:
        """When the items may be shown, by position."""
        ends = np.full(len(self.items), np.inf)
        limited = [(self.slots[item_id], self.by_id[item_id]) for item_id in self.limited]
        for slot, each in limited:
            ends[slot] = each.end
        hidden = sorted(slot for slot, each in limited if each.is_hidden)
        return Availability.of_ends(np.asarray(hidden, np.int64), ends)

    @property
    def gone_rows(self) -> Rows:
        """`gone` as an array, ascending."""
        return np.sort(np.fromiter(self.gone, np.int64, len(self.gone)))

    def frozen_row(self, item_id: ItemId) -> int | None:
        """Return the row of the version that still counts for an id."""
        row = self.snapshot.table.row(item_id)
        return None if row is None or row in self.gone else row

    def find(self, item_id: ItemId) -> tuple[Item, Vector] | None:
        """Return an item as it is now with its vector, None if there is none."""
        slot = self.slots.get(item_id)
        if slot is not None:
            return self.items[slot].item, self.vectors[slot]
        row = self.frozen_row(item_id)
        if row is None:
            return None
        return self.snapshot.table.item(row), self.snapshot.vectors[row]

    def apply(self, changes: Iterable[Change], encode: Encode) -> "FreshItems":
        """Return what is fresh after some changes; those that are in here already are passed over.

        Args:
            changes: oldest first.
            encode: asked only for texts that no change has a usable vector of: another model or
                template made it, or the item was another one when it was patched.

        Raises:
            EncodingFailed: the model gives no usable vector for one of them.
        """
        draft = _Draft(self)
        for change in changes:
            if change.sequence > self.sequence:
                draft.apply(change)
        return draft.finish(encode)


class _Draft:
    """Fresh items while they are changed."""

    def __init__(self, fresh: FreshItems) -> None:
        manifest = fresh.snapshot.manifest
        self._fresh = fresh
        self._template = TextTemplate(manifest.template_pattern)
        self._items = dict(fresh.by_id)
        self._vectors: dict[ItemId, Vector | None] = {}
        self._gone = set(fresh.gone)
        self._limited = set(fresh.limited)
        self._is_in_order = True
        self._sequence = fresh.sequence

    def apply(self, change: Change) -> None:
        self._sequence = max(self._sequence, change.sequence)
        if isinstance(change, Delete):
            self._remove(change.id)
        elif isinstance(change, Put):
            self._put(change)
        else:
            self._patch(change)

    def finish(self, encode: Encode) -> FreshItems:
        lacking = [item_id for item_id, vector in self._vectors.items() if vector is None]
        if lacking:
            texts = [self._items[item_id].item.text for item_id in lacking]
            found = encode(texts)
            check_vectors(found, lacking, self._fresh.vectors.shape[1])
            self._vectors.update(zip(lacking, found, strict=True))
        slots = self._slots()
        return FreshItems(
            self._fresh.snapshot,
            self._items,
            slots,
            self._stacked(slots),
            frozenset(self._gone),
            frozenset(self._limited),
            self._sequence,
        )

    def _slots(self) -> dict[ItemId, int]:
        if not self._is_in_order:
            return {item_id: slot for slot, item_id in enumerate(self._items)}
        slots = dict(self._fresh.slots)
        for item_id in self._vectors:
            slots.setdefault(item_id, len(slots))
        return slots

    def _stacked(self, slots: Mapping[ItemId, int]) -> Vectors:
        before = self._fresh
        vectors = np.empty((len(slots), before.vectors.shape[1]), np.float32)
        if self._is_in_order:
            # The usual case, without a look at every item: what was there stays where it was.
            vectors[: len(before.vectors)] = before.vectors
        else:
            kept = [item_id for item_id in slots if item_id not in self._vectors]
            to = [slots[item_id] for item_id in kept]
            vectors[to] = before.vectors[[before.slots[item_id] for item_id in kept]]
        for item_id, vector in self._vectors.items():
            assert vector is not None  # finish has encoded what was lacking
            vectors[slots[item_id]] = vector
        return vectors

    def _remove(self, item_id: ItemId) -> None:
        if self._items.pop(item_id, None) is not None:
            self._is_in_order = False
        self._vectors.pop(item_id, None)
        self._limited.discard(item_id)
        row = self._fresh.snapshot.table.row(item_id)
        if row is not None:
            self._gone.add(row)

    def _put(self, change: Put) -> None:
        if change.is_anew:
            self._remove(change.id)
        embedding = change.embedding
        text = embedding.text
        if embedding.template != self._template.sha256:
            text = shown_text(self._template, change.id, change.attributes)
            if not text:
                # This version's template shows nothing of it, so there is nothing to find it by.
                self._remove(change.id)
                return
        vector = embedding.vector if self._fits(embedding, text) else None
        self._set(Item(change.id, text, change.attributes), vector)

    def _patch(self, change: Patch) -> None:
        found = self._find(change.id)
        if found is None:
            return
        item, vector = found
        attributes = patched(item.attributes, change.attributes)
        text = item.text
        if not change.attributes.keys().isdisjoint(self._template.fields):
            text = shown_text(self._template, change.id, attributes) or item.text
        if text != item.text:
            embedding = change.embedding
            fits = embedding is not None and self._fits(embedding, text)
            vector = embedding.vector if embedding is not None and fits else None
        self._set(Item(change.id, text, attributes), vector)

    def _fits(self, embedding: Embedding, text: str) -> bool:
        is_same_model = embedding.model == self._fresh.snapshot.manifest.model.digest
        return is_same_model and embedding.text == text

    def _find(self, item_id: ItemId) -> tuple[Item, Vector | None] | None:
        fresh = self._items.get(item_id)
        if fresh is None:
            row = self._frozen_row(item_id)
            if row is None:
                return None
            return self._fresh.snapshot.table.item(row), self._fresh.snapshot.vectors[row]
        if item_id in self._vectors:
            return fresh.item, self._vectors[item_id]
        return fresh.item, self._fresh.vectors[self._fresh.slots[item_id]]

    def _frozen_row(self, item_id: ItemId) -> int | None:
        row = self._fresh.snapshot.table.row(item_id)
        return None if row is None or row in self._gone else row

    def _set(self, item: Item, vector: Vector | None) -> None:
        before = self._items.get(item.id)
        if before is not None:
            place = before.place
        else:
            row = self._frozen_row(item.id)
            place = AFTER_ALL if row is None else row
            if row is not None:
                self._gone.add(row)
        fresh = self._items[item.id] = FreshItem.of(item, place)
        self._vectors[item.id] = vector
        if fresh.is_hidden or fresh.end < np.inf:
            self._limited.add(item.id)
        else:
            self._limited.discard(item.id)


def text_after(item: Item, changes: Attributes, template: TextTemplate) -> str:
    """Return the text of an item after a patch; empty if it would show nothing."""
    if changes.keys().isdisjoint(template.fields):
        return item.text
    return shown_text(template, item.id, patched(item.attributes, changes))
