"""Which columns of a file make the id, the text and the lists of an item."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from service.catalogue.rows import RowError, cut
from service.catalogue.text import TextTemplate
from service.catalogue.values import clean_attribute, clean_id, clean_name
from service.errors import InvalidCatalogue, InvalidSettings
from service.types import Attributes, AttributeValue, Item

_LISTED_NAMES = 30


@dataclass(frozen=True, slots=True)
class ColumnMap:
    """How rows become items; columns not named here become attributes as they are.

    Args:
        id: column of the id.
        text: template of the sentence we embed.
        split: column -> separator; with "|", the text "A|B" becomes the list ["A", "B"].

    Raises:
        InvalidSettings: no id column, the id is to be split, or a separator is empty.
    """

    id: str
    text: TextTemplate
    split: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.id:
            raise InvalidSettings("No id column is named.")
        for name, separator in self.split.items():
            if not separator or name == self.id:
                raise InvalidSettings(
                    f"Column {cut(name)} cannot be split by {separator!r}.",
                    "Name a separator for a column that is not the id, for example genres=|",
                )

    @property
    def as_text(self) -> frozenset[str]:
        """Columns that stay text in formats without types, even where they look like numbers."""
        return frozenset((self.id, *self.text.fields, *self.split))

    def require(self, existing: Collection[str]) -> None:
        """Refuse a file that lacks a column named here.

        Raises:
            InvalidCatalogue: names what is missing and what exists.
        """
        missing = sorted(self.as_text.difference(existing))
        if missing:
            shown = sorted(existing)[:_LISTED_NAMES]
            more = " and more" if len(existing) > len(shown) else ""
            raise InvalidCatalogue(
                f"There is no column {', '.join(map(cut, missing))}.",
                f"The columns are: {', '.join(map(cut, shown)) or 'none'}{more}.",
            )

    def item(self, cells: Mapping[str, object]) -> Item:
        """Make an item of a row.

        Raises:
            RowError: no usable id, no text, or an attribute that cannot be kept.
        """
        item_id = clean_id(cells.get(self.id))
        attributes = {
            clean_name(name): self._attribute(name, value)
            for name, value in cells.items()
            if value is not None and name != self.id
        }
        shown: Attributes = attributes
        if self.id in self.text.fields:
            shown = {**attributes, self.id: item_id}
        text = self.text.render(shown)
        if not text:
            raise RowError(f"missing text: nothing in {', '.join(self.text.fields)}")
        return Item(item_id, text, attributes)

    def _attribute(self, name: str, value: object) -> AttributeValue:
        separator = self.split.get(name)
        if separator is not None and isinstance(value, str):
            value = [entry for part in value.split(separator) if (entry := part.strip())]
        return clean_attribute(name, value)
