"""Items as a report names them: an id and a few words, safe to print and to draw."""

import re
from dataclasses import dataclass
from typing import Final

from service.catalogue.table import ItemTable
from service.types import AttributeValue, Item, ItemId

_TITLE_KEYS: Final = ("title", "name", "label", "headline")
_LONGEST: Final = 100
# Control characters, ends of lines, overrides of the direction of writing, and no characters.
_HARMFUL: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)


@dataclass(frozen=True, slots=True)
class ItemLine:
    """One item of a report. `title` is its title, or the beginning of its text."""

    id: ItemId
    title: str


def line_of(table: ItemTable, row: int) -> ItemLine:
    """Name an item of a table."""
    item = table.item(row)
    return ItemLine(item.id, title_of(item))


def title_of(item: Item) -> str:
    """Choose the words that stand for an item, on one line and at most 100 characters."""
    titles = (item.attributes.get(key) for key in _TITLE_KEYS)
    chosen = next((each for each in titles if isinstance(each, str) and each.strip()), item.text)
    return one_line(chosen, _LONGEST)


def one_line(text: str, longest: int) -> str:
    """Take out what is harmful, fold white space, and cut."""
    # A few times the length is enough to fold, and a text may have megabytes.
    folded = " ".join(harmless(text[: 8 * longest]).split())
    return folded if len(folded) <= longest else folded[: longest - 1].rstrip() + "…"


def harmless(text: str) -> str:
    """Put spaces for what must reach neither a terminal nor an XML file.

    A catalogue may hold anything, escape sequences too.
    """
    return _HARMFUL.sub(" ", text)


def keywords_of(value: AttributeValue) -> tuple[str, ...]:
    """Return the words of a keyword attribute, in their order; none where there is none."""
    if isinstance(value, bool):
        return ("yes" if value else "no",)
    if isinstance(value, str):
        return (value,) if value.strip() else ()
    return tuple(value) if isinstance(value, list) else ()
