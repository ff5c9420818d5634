"""What can happen to a catalogue between two builds: an item put, patched or deleted."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from service.catalogue.text import TextTemplate
from service.types import Attributes, AttributeValue, Item, ItemId, Vector

ID_FIELD = "id"
"""The name by which a template may show an item's id; items put here have no other."""


@dataclass(frozen=True, slots=True, eq=False)
class Embedding:
    """A text and its vector, and what made them, so that another version knows what it may reuse.

    Args:
        text: what was encoded.
        vector: float32 (dim,).
        model: digest of the model.
        template: sha256 of the template that gave the text.
    """

    text: str
    vector: Vector
    model: str
    template: str


@dataclass(frozen=True, slots=True, eq=False)
class Put:
    """An item as a whole, in the place of the one that has its id, or after all others.

    `is_anew` says that an item of this id was deleted before: it comes after all others again.
    """

    sequence: int
    id: ItemId
    attributes: Attributes
    embedding: Embedding
    is_anew: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Patch:
    """Some attributes of an item; None removes one. Without the item it changes nothing.

    `embedding` is there if an attribute that the template shows is among them.
    """

    sequence: int
    id: ItemId
    attributes: Attributes
    embedding: Embedding | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Delete:
    """An item gone."""

    sequence: int
    id: ItemId


Change: TypeAlias = Put | Patch | Delete


def numbered(change: Change, sequence: int) -> Change:
    """Give a change its place in the order of all."""
    return replace(change, sequence=sequence)


def patched(attributes: Attributes, changes: Attributes) -> dict[str, AttributeValue]:
    """Return attributes with some of them changed, None removed."""
    merged = {**attributes, **changes}
    return {name: value for name, value in merged.items() if value is not None}


def shown_text(template: TextTemplate, item_id: ItemId, attributes: Attributes) -> str:
    """Write the text of an item that was put; empty if nothing of it is shown."""
    if ID_FIELD in template.fields:
        attributes = {**attributes, ID_FIELD: item_id}
    return template.render(attributes)


def fold(changes: Iterable[Change], *, after: int = 0) -> list[Change]:
    """Keep what still matters of a history: at most one change an id, with the same outcome.

    The outcome is the same over every version of the catalogue, whatever changes it contains: each
    change keeps the sequence of the last one that went into it.

    Args:
        changes: oldest first.
        after: changes up to this sequence are of no use to anyone any more.
    """
    kept: dict[ItemId, Change] = {}
    for change in changes:
        if change.sequence <= after:
            continue
        earlier = kept.get(change.id)
        if isinstance(earlier, Delete) or isinstance(change, Delete):
            # A new place in the order: items that follow a deletion come after all others.
            kept.pop(change.id, None)
        folded = change if earlier is None else _folded(earlier, change)
        kept[change.id] = folded
    return list(kept.values())


def merge(
    items: Iterable[Item], changes: Sequence[Change], make: Callable[[ItemId, Attributes], Item]
) -> list[Item]:
    """Apply changes to the items of a catalogue: what a rebuild has to index.

    Args:
        items: the catalogue's own, in order, ids unique.
        changes: oldest first.
        make: builds an item from its id and attributes, with its text.
    """
    merged = {item.id: item for item in items}
    for change in changes:
        item = merged.get(change.id)
        if isinstance(change, Delete) or (isinstance(change, Put) and change.is_anew):
            merged.pop(change.id, None)
        if isinstance(change, Put):
            merged[change.id] = make(change.id, change.attributes)
        elif isinstance(change, Patch) and item is not None:
            merged[change.id] = make(change.id, patched(item.attributes, change.attributes))
    return list(merged.values())


def _folded(earlier: Change, change: Change) -> Change:
    if isinstance(change, Delete):
        return change
    if isinstance(change, Put):
        was_deleted = isinstance(earlier, Delete) or (isinstance(earlier, Put) and earlier.is_anew)
        return replace(change, is_anew=change.is_anew or was_deleted)
    if isinstance(earlier, Delete):
        # There was nothing to patch.
        return replace(earlier, sequence=change.sequence)
    embedding = change.embedding or earlier.embedding
    if isinstance(earlier, Put):
        attributes = patched(earlier.attributes, change.attributes)
        assert embedding is not None  # every Put has one
        return replace(
            earlier, sequence=change.sequence, attributes=attributes, embedding=embedding
        )
    return Patch(change.sequence, change.id, {**earlier.attributes, **change.attributes}, embedding)
