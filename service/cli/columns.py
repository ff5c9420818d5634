"""How the columns of a file become items, as it is said at a terminal."""

from service.catalogue.column_map import ColumnMap
from service.catalogue.text import TextTemplate
from service.errors import InvalidSettings


def columns_of(id_column: str, text: list[str] | None, split: list[str] | None) -> ColumnMap:
    """Make a column map of `--id`, `--text` and `--split`.

    Raises:
        InvalidSettings: a `--split` is not COLUMN=SEPARATOR.
        InvalidCatalogue: the template cannot be used.
    """
    return ColumnMap(
        id=id_column, text=template_of(text or ["text"]), split=separators_of(split or [])
    )


def template_of(text: list[str]) -> TextTemplate:
    """Make a template of `--text`: several columns, or one pattern.

    Raises:
        InvalidSettings: it cannot be read.
    """
    if len(text) == 1 and "{" in text[0]:
        return TextTemplate(text[0])
    return TextTemplate.of_fields(text)


def separators_of(split: list[str]) -> dict[str, str]:
    """Make separators by column of `--split`.

    Raises:
        InvalidSettings: one is not COLUMN=SEPARATOR.
    """
    separators = {}
    for each in split:
        column, equals, separator = each.partition("=")
        if not equals or not column or not separator:
            raise InvalidSettings(f"--split {each} is not COLUMN=SEPARATOR.", "E.g. 'genres=|'")
        separators[column] = separator
    return separators
