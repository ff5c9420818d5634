"""Live changes on their way into the next version: applied while the catalogue streams by."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from service.catalogue.text import TextTemplate
from service.index.changes import Change, Patch, Put, patched, shown_text
from service.types import Attributes, Item, ItemId

Take = Callable[[Item], None]


@dataclass(slots=True)
class CarriedChanges:
    """Applies folded changes, at most one an id, to items one by one: `changes.merge`, streamed.

    Args:
        changes: oldest first.
        template: writes the text of an item that was changed.
        withheld_before: items that the version before left out for having been deleted.
        applied: how many changes made a difference so far.
        withheld: the items so far that were deleted and that the source holds all the same.
    """

    changes: Sequence[Change]
    template: TextTemplate
    withheld_before: Sequence[ItemId] = ()
    applied: int = 0
    withheld: list[ItemId] = field(default_factory=list)
    _by_id: dict[ItemId, Change] = field(init=False)
    _later: dict[ItemId, Put] = field(init=False)
    _deleted: set[ItemId] = field(init=False)

    def __post_init__(self) -> None:
        self._deleted = set(self.withheld_before)
        changes = [self._as_put_anew(change) for change in self.changes]
        self._by_id = {change.id: change for change in changes}
        self._later = {change.id: change for change in changes if isinstance(change, Put)}

    def apply(self, item: Item, take: Take) -> None:
        """Pass on an item of the catalogue as the changes have left it, or not at all."""
        change = self._by_id.get(item.id)
        if change is None and item.id not in self._deleted:
            take(item)
            return
        self.applied += change is not None
        if isinstance(change, Patch) and item.id not in self._deleted:
            take(self._item(item.id, patched(item.attributes, change.attributes)))
        elif isinstance(change, Put) and not change.is_anew:
            del self._later[item.id]
            take(self._item(item.id, change.attributes))
        elif not isinstance(change, Put):  # which comes after all others again
            self.withheld.append(item.id)

    def finish(self, take: Take) -> None:
        """Pass on the items that come after all others, in the order they were put."""
        for change in self._later.values():
            self.applied += not change.is_anew
            take(self._item(change.id, change.attributes))

    def _as_put_anew(self, change: Change) -> Change:
        if isinstance(change, Put) and change.id in self._deleted:
            return replace(change, is_anew=True)
        return change

    def _item(self, item_id: ItemId, attributes: Attributes) -> Item:
        return Item(item_id, shown_text(self.template, item_id, attributes), attributes)
