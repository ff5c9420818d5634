"""A guess at which columns are the id, the text and the lists; for a person to confirm."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from service.catalogue.column_map import ColumnMap
from service.catalogue.profile import ColumnProfile, Profile
from service.catalogue.text import TextTemplate

_ID_NAME = re.compile(r"(?:^|_|-)(?:id|key|sku|asin|isbn|ean|gtin|uuid|guid)$|[a-z]I[dD]$", re.I)
_TITLES = ("title", "name", "headline", "label", "subject", "caption")
_BODIES = ("description", "summary", "text", "abstract", "body", "content", "overview", "review")
# Sentences, not codes: shorter texts say too little to tell items apart.
_PROSE_CHARACTERS = 25
_UNIQUE = 0.97
_MOSTLY_FILLED = 0.5
# A list has several short entries that come back in other rows.
_ENTRY_CHARACTERS = 25
_LISTS = 0.2
_REPEATS = 3


@dataclass(frozen=True, slots=True)
class Proposal:
    """Columns that look right. `id` and `text` are None where nothing does."""

    id: str | None
    text: TextTemplate | None
    split: Mapping[str, str]

    @property
    def columns(self) -> ColumnMap | None:
        """The column map, if it is complete."""
        if self.id is None or self.text is None:
            return None
        return ColumnMap(self.id, self.text, self.split)


def propose(profile: Profile) -> Proposal:
    """Guess from the values first, and from the names where several columns would do."""
    item_id = _propose_id(profile)
    rest = [column for column in profile.columns.values() if column.name != item_id]
    fields = _propose_text(profile, rest)
    text = TextTemplate.of_fields(fields) if fields else None
    split = {
        column.name: separator
        for column in rest
        if column.name not in fields and (separator := _separator(column))
    }
    return Proposal(item_id, text, split)


def _propose_id(profile: Profile) -> str | None:
    candidates = [column for column in profile.columns.values() if _is_unique(column, profile)]
    # Of several the one that is called so, then the one that stands first.
    named = [column for column in candidates if _ID_NAME.search(column.name)]
    exact = [column for column in named if column.name.lower() == "id"]
    short = [column for column in candidates if column.mean_characters < _PROSE_CHARACTERS]
    chosen = exact or named or short
    return chosen[0].name if chosen else None


def _is_unique(column: ColumnProfile, profile: Profile) -> bool:
    usable = column.shapes["text"] + column.shapes["number"] == column.filled
    whole = column.least is None or float(column.least).is_integer()
    often = column.distinct.count >= _UNIQUE * column.filled
    return usable and whole and often and profile.fill_rate(column) >= _UNIQUE


def _propose_text(profile: Profile, columns: list[ColumnProfile]) -> list[str]:
    texts = [
        column
        for column in columns
        if column.shapes["text"] > _MOSTLY_FILLED * profile.rows
        and "{" not in column.name
        and "}" not in column.name
    ]
    titles = _first_named(texts, _TITLES)
    bodies = _first_named(texts, _BODIES)
    if titles or bodies:
        return titles + bodies
    prose = [column for column in texts if column.mean_characters >= _PROSE_CHARACTERS]
    longest = sorted(prose, key=lambda column: -column.mean_characters)[:1]
    return [column.name for column in longest] or [column.name for column in texts[:1]]


def _first_named(columns: list[ColumnProfile], names: tuple[str, ...]) -> list[str]:
    for name in names:
        for column in columns:
            words = re.split(r"[^a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", column.name).lower())
            if name in words:
                return [column.name]
    return []


def _separator(column: ColumnProfile) -> str | None:
    for separator, pieces in column.parts.items():
        if (
            pieces.texts >= _LISTS * column.filled
            and pieces.characters / pieces.count <= _ENTRY_CHARACTERS
            and pieces.count >= _REPEATS * pieces.distinct.count
        ):
            return separator
    return None
