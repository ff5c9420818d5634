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
    return ColumnMap(id=id_column, text=_template(text or ["text"]), split=_separators(split or []))


def _template(text: list[str]) -> TextTemplate:
    if len(text) == 1 and "{" in text[0]:
        return TextTemplate(text[0])
    return TextTemplate.of_fields(text)


def _separators(split: list[str]) -> dict[str, str]:
    separators = {}
    for each in split:
        column, equals, separator = each.partition("=")
        if not equals or not column or not separator:
            raise InvalidSettings(f"--split {each} is not COLUMN=SEPARATOR.", "E.g. 'genres=|'")
        separators[column] = separator
    return separators
