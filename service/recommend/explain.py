"""Why an item is in the list: which seed, with which share, and what they have in common."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import takewhile

import numpy as np

from service.catalogue.columns import Column
from service.index.shelf import Shelf
from service.recommend.plan import Plan
from service.recommend.pool import boosts_of
from service.recommend.wishes import Wish
from service.recommend.wording import sentence
from service.types import (
    AttributeValue,
    ItemId,
    Recommendation,
    Scalar,
    Share,
    Vectors,
    Why,
)

_SHARES_SHOWN = 3
_SMALLEST_SHARE = 0.05
# A value that more than a quarter of the catalogue has explains nothing.
_COMMONPLACE = 0.25


def explained(
    items: Sequence[Recommendation], plan: Plan, shelf: Shelf
) -> tuple[Recommendation, ...]:
    """Say of every item why it is in the list; see `Why`."""
    shared = SharedAttributes(shelf)
    rows = np.array([item.row for item in items], np.int64)
    because = [()] * len(items) if plan.wish is None else shares(plan.wish, shelf.vectors(rows))
    boosts = boosts_of(plan, rows).tolist()
    found = []
    for item, seeds, boost in zip(items, because, boosts, strict=True):
        strongest = seeds[0].id if seeds else None
        why = Why(seeds, shared.between(item.row, strongest), boost)
        if plan.query.in_words:
            why = replace(why, words=sentence(item, why, plan, shelf))
        found.append(replace(item, why=why))
    return tuple(found)


def shares(wish: Wish, items: Vectors) -> list[tuple[Share, ...]]:
    """Split the scores of items among the positive parts of a wish, largest first.

    A part's share is its weight times its similarity to the item, over the sum of these; parts
    that pull the other way have none. At most three shares of at least 5 % are named.

    Args:
        wish: what was looked for.
        items: float32 (n, dim), the recommended items' vectors.
    """
    if not len(wish.parts):
        return [()] * len(items)
    pull = np.maximum(items @ wish.parts.T, 0.0) * wish.weights
    total = pull.sum(axis=1, keepdims=True)
    split = np.divide(pull, total, out=np.zeros_like(pull), where=total > 0)
    order = np.argsort(-split, axis=1, kind="stable")[:, :_SHARES_SHOWN]
    shown = np.take_along_axis(split, order, 1)
    return [
        tuple(
            Share(wish.ids[part], round(share, 4))
            for part, share in zip(parts, largest, strict=True)
            if share >= _SMALLEST_SHARE
        )
        for parts, largest in zip(order.tolist(), shown.tolist(), strict=True)
    ]


class SharedAttributes:
    """Finds what items have in common with the seeds of one query.

    Numbers are left out, as two equal prices say nothing about taste, and so are values that a
    large part of the catalogue has. What is filterable and common is asked of the version alone.
    """

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._of_seeds: dict[ItemId, Mapping[str, list[str]]] = {}

    def between(self, row: int, seed: ItemId | None) -> Mapping[str, tuple[Scalar, ...]]:
        """Name the attribute values that an item shares with a seed; none with a text."""
        telling = self._telling(seed) if seed is not None else {}
        if not telling:
            return {}
        ours = self._shelf.attributes(row)
        common = {
            key: tuple(value for value in _values(ours.get(key)) if value in theirs)
            for key, theirs in telling.items()
        }
        return {key: values for key, values in common.items() if values}

    def _telling(self, seed: ItemId) -> Mapping[str, list[str]]:
        found = self._of_seeds.get(seed)
        if found is None:
            found = self._of_seeds[seed] = self._look_up(seed)
        return found

    def _look_up(self, seed: ItemId) -> Mapping[str, list[str]]:
        row = self._shelf.row(seed)
        attributes = {} if row is None else self._shelf.attributes(row)
        telling = {
            key: [
                value
                for value in _values(attributes.get(key))
                if value not in _commonplace(column, len(self._shelf))
            ]
            for key, column in self._shelf.snapshot.table.columns.items()
            if column.kind == "keyword"
        }
        return {key: values for key, values in telling.items() if values}


def _values(value: AttributeValue) -> list[str]:
    if isinstance(value, str):
        return [value]
    return value if isinstance(value, list) else []


def _commonplace(column: Column, items: int) -> set[Scalar]:
    # `top` is sorted by frequency, so the loop ends after the few values it is looking for.
    frequent = takewhile(lambda each: each[1] > items * _COMMONPLACE, column.top)
    return {value for value, _ in frequent}
