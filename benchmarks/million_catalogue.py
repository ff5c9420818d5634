"""A catalogue of a million shop items out of real texts, and what has become of it a day later.

A title is a photo's caption, a work of art's title or a film's; the description says in which
technique, after whom, and when, of any work of art. Titles times descriptions are many more than a
million, and no pair is drawn twice: every text differs, each title comes in about twenty versions,
as the wares of a shop do. The files are those of ../shared/data, whose folders name the licences.
"""

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import orjson
from numpy.typing import NDArray

SHARE = 0.01
"""Of the items, how many are changed, how many are removed and how many are new a day later."""
OTHERS = 4_000
"""Texts that are in neither day: to put live, and to ask for."""
TEXT = "{title}. {description}"
"""What of an item is encoded."""
# Long over and far away, so that a catalogue is the same on every day it is measured.
_OVER, _AHEAD = "2020-01-31T00:00:00Z", "2099-01-31T00:00:00Z"
_OVER_SHARE, _AHEAD_SHARE, _SOLD_OUT_SHARE = 0.02, 0.08, 0.1


@dataclass(frozen=True, slots=True, eq=False)
class Texts:
    """What titles and descriptions are drawn from: different texts each.

    Attributes:
        titles: with the category that goes with each.
        descriptions: technique, artist and year.
    """

    titles: tuple[tuple[str, str], ...]
    descriptions: tuple[str, ...]

    @classmethod
    def read(cls, sets: Path) -> "Texts":
        """Read them from the sets beside the project.

        Raises:
            SystemExit: the sets are not there.
        """
        if not (sets / "coco-captions").is_dir():
            raise SystemExit(f"The sets of texts are not in {sets}; say where: --sets FOLDER")
        captions = [
            caption
            for photo in _lines(sets / "coco-captions" / "items.jsonl")
            for caption in (photo["text"], *photo["queries"])
        ]
        works = list(_lines(sets / "tate-art" / "items.jsonl"))
        with (sets / "movielens-small" / "movies.csv").open(encoding="utf-8", newline="") as file:
            films = [(row["title"], row["genres"].split("|")[0]) for row in csv.DictReader(file)]
        titles = {text.strip(" ."): "photographs" for text in captions}
        titles |= {work["title"].strip(" ."): work["classification"] or "art" for work in works}
        titles |= {title: f"films: {genre}" for title, genre in films}
        described = [f"{work['medium']}, after {work['artist']}, {work['date']}" for work in works]
        return cls(tuple(titles.items()), tuple(dict.fromkeys(described)))


@dataclass(frozen=True, slots=True, eq=False)
class Catalogue:
    """A shop's items on two days, and texts that it never has.

    Attributes:
        texts: what they are made of.
        count: of items on the first day.
        pairs: int64, a title and a description in one number; no two are equal. First those of
            the first day, then those of what is changed and new on the second, then others.
    """

    texts: Texts
    count: int
    pairs: NDArray[np.int64]

    @classmethod
    def draw(cls, texts: Texts, count: int, seed: int) -> "Catalogue":
        """Draw different pairs of a title and a description."""
        chance = np.random.default_rng(seed)
        wanted = count + 2 * int(count * SHARE) + OTHERS
        kinds = len(texts.titles) * len(texts.descriptions)
        drawn = np.unique(chance.integers(kinds, size=wanted + wanted // 10 + 100))
        return cls(texts, count, chance.permutation(drawn)[:wanted])

    def first_day(self) -> Iterator[dict[str, object]]:
        """Every item as it is at first."""
        for row in range(self.count):
            yield self.item(row, row)

    def second_day(self) -> Iterator[dict[str, object]]:
        """1 % of the items gone, 1 % with another text, 1 % new at the end."""
        share, gone = int(self.count * SHARE), self.gone_rows()
        changed = self._order()[share : 2 * share]
        pair_of = {int(row): self.count + place for place, row in enumerate(changed)}
        for row in range(self.count):
            if row not in gone:
                yield self.item(row, pair_of.get(row, row))
        for row in range(self.count, self.count + share):
            yield self.item(row, row + share)

    def gone_rows(self) -> set[int]:
        """The items that the second day does not have."""
        return set(self._order()[: int(self.count * SHARE)].tolist())

    def rows_on_both_days(self, wanted: int) -> list[int]:
        """The first rows of items that both days have, the same, and that are not over."""
        order = set(self._order()[: 2 * int(self.count * SHARE)].tolist())
        stay = (row for row in range(self.count) if row not in order and not self._is_over(row))
        return list(islice(stay, wanted))

    def item(self, row: int, pair: int) -> dict[str, object]:
        """An item: the texts of a pair, and attributes that its row alone decides."""
        title, description = divmod(int(self.pairs[pair]), len(self.texts.descriptions))
        name, category = self.texts.titles[title]
        chance = np.random.default_rng((row, 7))
        stock, until = chance.random(2)
        ends = _OVER if until < _OVER_SHARE else _AHEAD
        return {
            "id": item_id(row),
            "title": name,
            "description": self.texts.descriptions[description],
            "category": category,
            "price": round(float(chance.lognormal(3.0, 0.8)), 2),
            "stock": 0 if stock < _SOLD_OUT_SHARE else int(100 * stock),
            "available_until": ends if until < _OVER_SHARE + _AHEAD_SHARE else None,
        }

    def others(self) -> list[dict[str, object]]:
        """Items that no day has, of texts that no day has; ids go on behind those of both."""
        first = self.count + 2 * int(self.count * SHARE)
        rows = range(first, first + OTHERS)
        return [self.item(row, row) | {"available_until": None} for row in rows]

    def _is_over(self, row: int) -> bool:
        return self.item(row, row)["available_until"] == _OVER

    def _order(self) -> NDArray[np.int64]:
        return np.random.default_rng(self.count).permutation(self.count)


def item_id(row: int) -> str:
    """The id of the item in a row."""
    return f"ware-{row:07d}"


def row_of(item_id: str) -> int:
    """The row of an item."""
    return int(item_id.removeprefix("ware-"))


def write_day(path: Path, items: Iterator[dict[str, object]]) -> int:
    """Write items as JSON lines, whole or not at all; returns the bytes."""
    unfinished = path.with_suffix(".tmp")
    with unfinished.open("wb") as file:
        for item in items:
            file.write(orjson.dumps(item) + b"\n")
    unfinished.replace(path)
    return path.stat().st_size


def _lines(path: Path) -> Iterator[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        yield from map(json.loads, file)
