"""Why an item is in the list: which seed, with which share, and what they have in common."""

from collections.abc import Mapping
from itertools import takewhile

import numpy as np
import orjson

from service.catalogue.columns import Column
from service.index.shelf import Shelf
from service.recommend.liking import shares
from service.recommend.plan import Plan
from service.recommend.pool import boosts_of
from service.recommend.ranking import Ranked
from service.recommend.wording import sentence
from service.types import (
    Attributes,
    AttributeValue,
    ItemId,
    Rows,
    Scalar,
    Why,
)

# A value that more than a quarter of the catalogue has explains nothing.
_COMMONPLACE = 0.25


def explained(ranked: Ranked, plan: Plan, shelf: Shelf) -> list[Why]:
    """Say of every item of a list why it is there; see `Why`."""
    rows = np.array(ranked.rows, np.int64)
    count = len(rows)
    because = [()] * count if plan.wish is None else shares(plan.wish, shelf.vectors(rows))
    boosts = boosts_of(plan, rows).tolist() if plan.boosted else [0.0] * count
    # Of items and seeds, read in one go.
    attributes = _attributes(np.concatenate([rows, plan.seeds.liked]), shelf)
    of_seeds = zip(plan.seeds.liked_ids, attributes[count:], strict=True)
    shared = SharedAttributes(shelf, dict(of_seeds))
    whys = [
        Why(seeds, shared.between(ours, seeds[0].id if seeds else None), boost)
        for seeds, boost, ours in zip(because, boosts, attributes[:count], strict=True)
    ]
    if not plan.query.in_words:
        return whys
    promoted = ranked.is_promoted or [False] * count
    return [
        why._replace(words=sentence(score, why, plan, shelf, is_promoted=is_promoted))
        for score, why, is_promoted in zip(ranked.scores, whys, promoted, strict=True)
    ]


class SharedAttributes:
    """Finds what items have in common with the seeds of one query.

    Numbers are left out, as two equal prices say nothing about taste, and so are values that a
    large part of the catalogue has. What is filterable and common is asked of the version alone.

    Args:
        shelf: says what is common.
        seeds: attributes of the seeds.
    """

    def __init__(self, shelf: Shelf, seeds: Mapping[ItemId, Attributes]) -> None:
        commonplace = [
            (key, _commonplace(column, len(shelf)))
            for key, column in shelf.snapshot.table.columns.items()
            if column.kind == "keyword"
        ]
        self._telling = {
            seed: [
                (key, values.difference(frequent))
                for key, frequent in commonplace
                if (values := _values(attributes.get(key)))
            ]
            for seed, attributes in seeds.items()
        }

    def between(self, ours: Attributes, seed: ItemId | None) -> Mapping[str, tuple[Scalar, ...]]:
        """Name the values in an item's attributes that a seed has as well; none with a text."""
        common: dict[str, tuple[Scalar, ...]] = {}
        if seed is None:
            return common
        for key, theirs in self._telling[seed]:
            value = ours.get(key)
            if isinstance(value, str):
                if value in theirs:
                    common[key] = (value,)
            elif isinstance(value, list) and not theirs.isdisjoint(value):
                common[key] = tuple([each for each in value if each in theirs])
        return common


def _attributes(rows: Rows, shelf: Shelf) -> list[Attributes]:
    written = b",".join([attributes for _, attributes in shelf.written(rows)])
    found: list[Attributes] = orjson.loads(b"[%b]" % written)
    return found


def _values(value: AttributeValue) -> frozenset[str]:
    if isinstance(value, str):
        return frozenset((value,))
    return frozenset(value) if isinstance(value, list) else frozenset()


def _commonplace(column: Column, items: int) -> set[Scalar]:
    # `top` is sorted by frequency, so the loop ends after the few values it is looking for.
    frequent = takewhile(lambda each: each[1] > items * _COMMONPLACE, column.top)
    return {value for value, _ in frequent}
