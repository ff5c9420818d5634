"""At most so many of one category, one artist, one shop in a list."""

from collections import Counter
from collections.abc import Iterable, Sequence

from service.errors import InvalidQuery
from service.index.shelf import Shelf
from service.types import AttributeValue, Cap, Scalar


class CapCounts:
    """Counts what a list holds already, and says which items would be one too many.

    A list-valued attribute counts with each of its values; an item without the attribute is
    never too many.

    Args:
        caps: the bounds.
        shelf: has the attributes.
        shown: rows that are in the list before it begins, of earlier pages.

    Raises:
        InvalidQuery: no item has such an attribute.
    """

    def __init__(self, caps: Sequence[Cap], shelf: Shelf, shown: Iterable[int]) -> None:
        columns = shelf.columns if caps else {}
        if any(cap.key not in columns for cap in caps):
            raise InvalidQuery(
                "`limit_per` names an attribute that no item has.",
                "GET /info lists the attributes.",
            )
        self._caps = caps
        self._shelf = shelf
        self._held: Counter[tuple[str, Scalar]] = Counter()
        for row in shown if caps else ():
            self.take(row)

    def is_too_many(self, row: int) -> bool:
        """Tell whether a cap is reached for one of the item's values."""
        if not self._caps:
            return False
        attributes = self._shelf.attributes(row)
        return any(
            self._held[cap.key, value] >= cap.max
            for cap in self._caps
            for value in _values(attributes.get(cap.key))
        )

    def take(self, row: int) -> None:
        """Count an item that went into the list."""
        attributes = self._shelf.attributes(row) if self._caps else {}
        for cap in self._caps:
            for value in _values(attributes.get(cap.key)):
                self._held[cap.key, value] += 1


def _values(value: AttributeValue) -> Iterable[Scalar]:
    if isinstance(value, list):
        return dict.fromkeys(value)
    return () if value is None else (value,)
