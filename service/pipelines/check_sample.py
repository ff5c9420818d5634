"""The texts on which a model is checked: the user's own catalogue, or ours; labels if there are."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import orjson

from service.catalogue.column_map import ColumnMap
from service.catalogue.reader import read_items
from service.errors import InvalidCatalogue
from service.pipelines.parity_texts import PARITY_TEXTS
from service.pipelines.query_file import read_queries
from service.types import Item

TEXTS = 1000
"""Texts of a sample when nobody says how many: three minutes on one core for a small model."""


@dataclass(frozen=True, slots=True)
class Labels:
    """Queries, and for each the rows of the sample's texts that answer it."""

    queries: tuple[str, ...]
    relevant: tuple[frozenset[int], ...]


@dataclass(frozen=True, slots=True)
class Sample:
    """Different texts, where they come from, and labels where there are any."""

    source: str
    texts: tuple[str, ...]
    labels: Labels | None = None

    @property
    def sha256(self) -> str:
        """Digest of all texts in order."""
        return hashlib.sha256(orjson.dumps(self.texts)).hexdigest()


def own_sample(
    path: Path,
    columns: ColumnMap,
    *,
    limit: int = TEXTS,
    queries: Path | None = None,
    seed: int = 0,
) -> Sample:
    """Draw a sample from a catalogue.

    Args:
        path: a file of items, see `read_items` for the formats.
        columns: how its rows become items.
        limit: how many texts at most; items that answer a query are taken first.
        queries: labelled search texts, see `read_queries`; None where nothing is labelled.
            Queries without items, or with one that is not in the sample, are left out.
        seed: of the draw.

    Raises:
        InvalidCatalogue: the catalogue cannot be read, or shares no id with the queries.
        InvalidInput: the queries cannot be read.
    """
    items = _read(path, columns)
    labelled = () if queries is None else read_queries(queries)
    wanted = {each for query in labelled for each in query.relevant}
    texts, rows = _draw(items, wanted, limit, seed)
    if queries is None:
        return Sample(path.name, texts)
    kept = [
        (query.text, frozenset(rows[each] for each in query.relevant))
        for query in labelled
        if query.relevant and query.relevant <= rows.keys()
    ]
    if not kept:
        raise InvalidCatalogue(
            f"no query of {queries.name} has all its items among {len(texts)} of {path.name}.",
            "Compare the ids, or check more texts with --texts.",
        )
    source = f"{path.name}, queries {queries.name}"
    return Sample(source, texts, Labels(*map(tuple, zip(*kept, strict=True))))


def house_sample(pins: Path | None, columns: ColumnMap) -> Sample:
    """The parity texts, and the sample pins where they are at hand."""
    if pins is None or not pins.is_file():
        return Sample("parity texts", PARITY_TEXTS)
    texts = dict.fromkeys([*PARITY_TEXTS, *(item.text for item in _read(pins, columns))])
    return Sample(f"parity texts and {pins.name}", tuple(texts))


def _read(path: Path, columns: ColumnMap) -> list[Item]:
    """Read the usable items; their attributes are of no use here, and may be large."""
    rows = read_items(path, columns)
    return [Item(row.id, row.text) for row in rows if isinstance(row, Item)]


def _draw(
    items: Sequence[Item], wanted: set[str], limit: int, seed: int
) -> tuple[tuple[str, ...], dict[str, int]]:
    """Draw different texts; returns them, and the row of each id whose text was drawn."""
    order = np.random.default_rng(seed).permutation(len(items))
    first = sorted(order.tolist(), key=lambda row: items[row].id not in wanted)
    rows: dict[str, int] = {}
    texts: dict[str, int] = {}
    for row in first:
        item = items[row]
        if item.text in texts or len(texts) < limit:
            rows[item.id] = texts.setdefault(item.text, len(texts))
    return tuple(texts), rows
