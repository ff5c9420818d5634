"""Reads a catalogue as a build would, and tells everything about it; writes nothing."""

import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from service.catalogue.column_map import ColumnMap
from service.catalogue.ids import Places
from service.catalogue.profile import ColumnProfile, Profile
from service.catalogue.proposal import Proposal, propose
from service.catalogue.reader import Reject, read_items
from service.catalogue.rows import Row
from service.catalogue.sources import Source
from service.catalogue.text import TextTemplate
from service.types import Item

_EXAMPLES = 5
_PROGRESS_ROWS = 1000
_PARTICULARS = re.compile(r"'[^']*'|\"[^\"]*\"|[:;,].*", re.DOTALL)


@dataclass(slots=True)
class Items:
    """What would become of the rows with one column map.

    Attributes:
        count: usable items.
        rejects: rows that would be left out.
        reasons: how many for each reason, particulars left out.
        examples: the first few of them.
        repeated_texts: items whose text an earlier one has too; it is encoded once.
        longest_text: characters.
        sample_text: of the first item, as it would be encoded.
    """

    count: int = 0
    rejects: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    examples: list[Reject] = field(default_factory=list)
    repeated_texts: int = 0
    longest_text: int = 0
    characters: int = 0
    sample_text: str = ""

    @property
    def reject_share(self) -> float:
        """Of all rows, 0 to 1."""
        return self.rejects / max(1, self.count + self.rejects)


@dataclass(frozen=True, slots=True)
class CatalogueCheck:
    """What a catalogue holds. `items` is None where no complete column map is known."""

    source: str
    source_sha256: str
    profile: Profile
    proposal: Proposal
    columns: ColumnMap | None
    items: Items | None


def check_catalogue(
    source: Source,
    *,
    item_id: str | None = None,
    text: TextTemplate | None = None,
    split: Mapping[str, str] | None = None,
    progress: Callable[[str, int, int | None], None] | None = None,
) -> CatalogueCheck:
    """Read a catalogue twice: its columns first, then its items.

    Args:
        source: where it comes from; a query runs twice.
        item_id: column of the id; proposed when absent, as are the two that follow.
        text: template of the text.
        split: separators of list columns; an empty mapping means none.
        progress: told the stage (`columns`, `items`) and how many rows were read.

    Raises:
        InvalidCatalogue: it cannot be read, or lacks a column that was named.
    """
    report = progress or _ignore
    profile = _profile(source, report)
    guess = propose(profile)
    proposal = Proposal(
        item_id or guess.id, text or guess.text, guess.split if split is None else split
    )
    columns = proposal.columns
    items = _items(source, columns, report) if columns else None
    return CatalogueCheck(source.name, source.sha256, profile, proposal, columns, items)


def describe(check: CatalogueCheck) -> dict[str, object]:
    """Put everything into the form that `--json` prints."""
    items = check.items
    return {
        "schema_version": 1,
        "source": check.source,
        "source_sha256": check.source_sha256,
        "rows": check.profile.rows,
        "columns": [_described(column, check.profile) for column in check.profile.columns.values()],
        "proposal": {
            "id": check.proposal.id,
            "text": check.proposal.text.pattern if check.proposal.text else None,
            "split": dict(check.proposal.split),
        },
        "items": None
        if items is None
        else {
            "count": items.count,
            "rejects": items.rejects,
            "reasons": dict(items.reasons.most_common()),
            "examples": items.examples,
            "repeated_texts": items.repeated_texts,
            "longest_text": items.longest_text,
            "mean_text": round(items.characters / max(1, items.count), 1),
            "sample_text": items.sample_text,
        },
    }


def _described(column: ColumnProfile, profile: Profile) -> dict[str, object]:
    return {
        "name": column.name,
        "kind": column.kind,
        "kinds": dict(column.shapes),
        "fill_rate": round(profile.fill_rate(column), 6),
        "distinct": column.distinct.count,
        "distinct_is_exact": column.distinct.is_exact,
        "min": column.least,
        "max": column.most,
        "longest_text": column.longest,
        "samples": column.samples,
    }


def _profile(source: Source, report: Callable[[str, int, int | None], None]) -> Profile:
    profile, count = Profile(), 0
    for _, row in source.rows(None):
        count += 1
        if isinstance(row, Row):
            profile.add(row.cells)
        if count % _PROGRESS_ROWS == 0:
            report("columns", count, None)
    report("columns", count, count)
    return profile


def _items(
    source: Source, columns: ColumnMap, report: Callable[[str, int, int | None], None]
) -> Items:
    items, texts = Items(), Places()
    for count, row in enumerate(read_items(source, columns), start=1):
        if isinstance(row, Reject):
            _add_reject(items, row)
        else:
            _add_item(items, row, texts)
        if count % _PROGRESS_ROWS == 0:
            report("items", count, None)
    report("items", items.count + items.rejects, items.count + items.rejects)
    return items


def _add_reject(items: Items, reject: Reject) -> None:
    items.rejects += 1
    items.reasons[_PARTICULARS.sub("", reject.reason).strip()] += 1
    if len(items.examples) < _EXAMPLES:
        items.examples.append(reject)


def _add_item(items: Items, item: Item, texts: Places) -> None:
    items.sample_text = items.sample_text or item.text
    items.repeated_texts += texts.first(item.text, items.count) != items.count
    items.count += 1
    items.longest_text = max(items.longest_text, len(item.text))
    items.characters += len(item.text)


def _ignore(stage: str, done: int, total: int | None) -> None:
    """Report progress to nobody."""
