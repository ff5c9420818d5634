"""Why an item is in the list: which seed, with which share, and what they have in common."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import takewhile

import numpy as np
import orjson

from service.catalogue.columns import Column
from service.index.shelf import Shelf
from service.recommend.plan import Plan
from service.recommend.pool import boosts_of
from service.recommend.wishes import Wish
from service.recommend.wording import sentence
from service.types import (
    Attributes,
    AttributeValue,
    ItemId,
    Recommendation,
    Rows,
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
    attributes = shared.of_rows(rows)
    found = []
    for item, seeds, boost, ours in zip(items, because, boosts, attributes, strict=True):
        why = Why(seeds, shared.between(ours, seeds[0].id if seeds else None), boost)
        if plan.query.in_words:
            why = replace(why, words=sentence(item, why, plan, shelf))
        found.append(Recommendation(item.row, item.score, item.is_promoted, why))
    return tuple(found)


def shares(wish: Wish, items: Vectors) -> list[tuple[Share, ...]]:
    """Split the scores of items among the positive parts of a wish, largest first.

    A part's share is its Shapley value in the score, over the sum of these. Where the score is a
    sum, that is its weight times its similarity to the item. Where the best part decides, parts
    that are equally near share evenly, and one that is far has next to nothing. Parts that pull
    the other way have none. At most three shares of at least 5 % are named.

    Args:
        wish: what was looked for.
        items: float32 (n, dim), the recommended items' vectors.

    Source: Littlechild and Owen, Management Science 1973, for the maximum ("airport game").
    """
    if not len(wish.parts):
        return [()] * len(items)
    pull = np.maximum(items @ wish.parts.T, 0.0) * wish.weights
    if not wish.is_linear:
        pull = shapley_of_best(pull)
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


def shapley_of_best(values: Vectors) -> Vectors:
    """What each part adds to the largest of them, on average over all orders of adding them.

    Args:
        values: float32 (n, p), not negative; one row an item.

    Returns:
        float32 (n, p); the sum of a row is its largest value.
    """
    order = np.argsort(values, axis=1)
    steps = np.diff(np.take_along_axis(values, order, 1), axis=1, prepend=np.float32(0.0))
    # All parts that reach a step share it.
    reaching = np.arange(values.shape[1], 0, -1, dtype=np.float32)
    split = np.empty_like(values)
    np.put_along_axis(split, order, np.cumsum(steps / reaching, axis=1), 1)
    return split


class SharedAttributes:
    """Finds what items have in common with the seeds of one query.

    Numbers are left out, as two equal prices say nothing about taste, and so are values that a
    large part of the catalogue has. What is filterable and common is asked of the version alone.
    """

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._of_seeds: dict[ItemId, Mapping[str, list[str]]] = {}
        self._commonplace = {
            key: _commonplace(column, len(shelf))
            for key, column in shelf.snapshot.table.columns.items()
            if column.kind == "keyword"
        }

    def of_rows(self, rows: Rows) -> list[Attributes]:
        """Return the attributes of some rows, read in one go."""
        written = b",".join(attributes for _, attributes in self._shelf.written(rows))
        found: list[Attributes] = orjson.loads(b"[%b]" % written)
        return found

    def between(self, ours: Attributes, seed: ItemId | None) -> Mapping[str, tuple[Scalar, ...]]:
        """Name the values in an item's attributes that a seed has as well; none with a text."""
        telling = self._telling(seed) if seed is not None else {}
        common: dict[str, tuple[Scalar, ...]] = {}
        for key, theirs in telling.items():
            value = ours.get(key)
            if isinstance(value, str):
                if value in theirs:
                    common[key] = (value,)
            elif isinstance(value, list):
                both = [each for each in value if each in theirs]
                if both:
                    common[key] = tuple(both)
        return common

    def _telling(self, seed: ItemId) -> Mapping[str, list[str]]:
        found = self._of_seeds.get(seed)
        if found is None:
            found = self._of_seeds[seed] = self._look_up(seed)
        return found

    def _look_up(self, seed: ItemId) -> Mapping[str, list[str]]:
        row = self._shelf.row(seed)
        attributes = {} if row is None else self._shelf.attributes(row)
        telling = {
            key: [value for value in _values(attributes.get(key)) if value not in frequent]
            for key, frequent in self._commonplace.items()
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
