"""Changes on their way in: checked, and with what has to be encoded before they can be stored."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from service.catalogue.column_map import ColumnMap
from service.catalogue.column_writer import MAX_COLUMNS
from service.catalogue.rows import RowError
from service.catalogue.text import TextTemplate
from service.catalogue.values import clean_attribute, clean_name
from service.errors import InvalidItem, ItemNotFound
from service.index.availability import AVAILABLE_UNTIL, flaw_of
from service.index.changes import ID_FIELD, Change, Embedding, Patch, Put
from service.index.fresh import text_after
from service.index.shelf import Shelf
from service.types import Attributes, AttributeValue, Item, ItemId, Vector, Vectors

# What the JSON of an item table can hold.
_INTEGER_MAX = 2**63 - 1
_FLAWS_NAMED = 10

Given: TypeAlias = Mapping[str, object]
"""Attributes as a caller wrote them, before they are cleaned."""


@dataclass(frozen=True, slots=True, eq=False)
class Edit:
    """An item to put, or attributes to patch, before it has a vector.

    Args:
        id: of the item.
        attributes: all of them, or those to change with None for those to remove.
        text: the item's text afterwards.
        vector: of that text, None where it has to be encoded first.
        is_patch: whether it changes an item instead of replacing it.
    """

    id: ItemId
    attributes: Attributes
    text: str
    vector: Vector | None
    is_patch: bool


@dataclass(frozen=True, slots=True, eq=False)
class Edits:
    """The edits of one request, all for one model and template."""

    edits: tuple[Edit, ...]
    model: str
    template: str

    @property
    def texts(self) -> list[str]:
        """Texts that have to be encoded, as a text that an item has already need not be."""
        return [edit.text for edit in self.edits if edit.vector is None]

    def changes(self, vectors: Vectors) -> list[Change]:
        """Make them changes to commit.

        Args:
            vectors: float32 (len(texts), dim), of `texts`.
        """
        encoded = iter(vectors)
        return [
            self._change(edit, next(encoded) if edit.vector is None else edit.vector)
            for edit in self.edits
        ]

    def _change(self, edit: Edit, vector: Vector) -> Change:
        embedding = Embedding(edit.text, vector, self.model, self.template)
        if edit.is_patch:
            # The item keeps its vector unless it has a new text.
            return Patch(
                0, edit.id, edit.attributes, None if edit.vector is not None else embedding
            )
        return Put(0, edit.id, edit.attributes, embedding)


def edit_items(given: Sequence[tuple[str, Given]], shelf: Shelf) -> Edits:
    """Check items to be put, by the rules of the reader of catalogues.

    Args:
        given: id and attributes of each.
        shelf: what is served; its template makes the texts.

    Raises:
        InvalidItem: one of them cannot be kept; `flaws` names up to ten by their position.
    """
    template = _template(shelf)
    columns = ColumnMap(ID_FIELD, template)
    seen: set[str] = set()

    def edit(item_id: str, attributes: Given) -> Edit:
        item = _item(item_id, attributes, columns)
        if item.id in seen:
            raise RowError("this id stands in the request twice")
        seen.add(item.id)
        return Edit(item.id, item.attributes, item.text, _known_vector(item, shelf), is_patch=False)

    edits = _all_or_flaws(given, edit)
    _check_names((name for each in edits for name in each.attributes), shelf)
    return Edits(edits, shelf.snapshot.manifest.model.digest, template.sha256)


def edit_attributes(item_id: ItemId, attributes: Given, shelf: Shelf) -> Edits:
    """Check a patch of an item.

    Args:
        item_id: of an item that exists.
        attributes: what changes; None removes an attribute.
        shelf: what is served.

    Raises:
        ItemNotFound: there is no such item.
        InvalidItem: an attribute cannot be kept, or no text would be left.
    """
    template = _template(shelf)
    found = shelf.fresh.find(item_id)
    if found is None:
        raise ItemNotFound("There is no such item.", "Put it as a whole.")
    item, vector = found

    def edit(item_id: str, attributes: Given) -> Edit:
        cleaned = _cleaned(attributes)
        text = text_after(item, cleaned, template)
        if not text:
            raise RowError(f"missing text: nothing in {', '.join(template.fields)}")
        is_same = text == item.text
        return Edit(item.id, cleaned, text, vector if is_same else None, is_patch=True)

    edits = _all_or_flaws([(item_id, attributes)], edit)
    _check_names(attributes, shelf)
    return Edits(edits, shelf.snapshot.manifest.model.digest, template.sha256)


def _template(shelf: Shelf) -> TextTemplate:
    return TextTemplate(shelf.snapshot.manifest.template_pattern)


def _all_or_flaws(
    given: Sequence[tuple[str, Given]], edit: Callable[[str, Given], Edit]
) -> tuple[Edit, ...]:
    edits: list[Edit] = []
    flaws: list[tuple[str, str]] = []
    for position, (item_id, attributes) in enumerate(given):
        try:
            edits.append(edit(item_id, attributes))
        except RowError as error:
            flaws.append((f"items.{position}", str(error)))
    if flaws:
        raise InvalidItem(
            f"{len(flaws)} of {len(given)} items cannot be kept, so none was.",
            "See `errors`.",
            tuple(flaws[:_FLAWS_NAMED]),
        )
    return tuple(edits)


def _item(item_id: str, attributes: Given, columns: ColumnMap) -> Item:
    if ID_FIELD in attributes:
        raise RowError(f"the id is given beside the attributes, not as an attribute {ID_FIELD!r}")
    for value in attributes.values():
        _check_value(value)
    item = columns.item({**attributes, ID_FIELD: item_id})
    if flaw := flaw_of(item.attributes.get(AVAILABLE_UNTIL)):
        raise RowError(flaw)
    return item


def _cleaned(attributes: Given) -> dict[str, AttributeValue]:
    cleaned: dict[str, AttributeValue] = {}
    for name, value in attributes.items():
        if name == ID_FIELD:
            raise RowError("an item keeps its id; delete it and put another one")
        _check_value(value)
        cleaned[clean_name(name)] = clean_attribute(name, value)
    if flaw := flaw_of(cleaned.get(AVAILABLE_UNTIL)):
        raise RowError(flaw)
    return cleaned


def _check_value(value: object) -> None:
    for each in value if isinstance(value, list) else [value]:
        if isinstance(each, int) and abs(each) > _INTEGER_MAX:
            raise RowError("a whole number has more than 64 bits; write it as text")


def _known_vector(item: Item, shelf: Shelf) -> Vector | None:
    found = shelf.fresh.find(item.id)
    return found[1] if found is not None and found[0].text == item.text else None


def _check_names(names: Iterable[str], shelf: Shelf) -> None:
    """Refuse what the next build could not write: more attributes than a table may have."""
    new = set(names).difference(shelf.snapshot.table.columns)
    # Only a name that the version does not have is worth a look at every fresh item.
    if new and len(new.union(shelf.columns)) > MAX_COLUMNS:
        raise InvalidItem(
            f"A catalogue may have {MAX_COLUMNS} different attributes.",
            "Put what varies into the values, for example as a list of tags.",
        )
