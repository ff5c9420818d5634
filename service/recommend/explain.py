"""Why an item is in the list: which seed, with which share, and what they have in common."""

from collections.abc import Mapping
from itertools import takewhile

import numpy as np
import orjson

from service.catalogue.columns import Column
from service.index.shelf import Shelf
from service.recommend.plan import Plan
from service.recommend.pool import boosts_of
from service.recommend.ranking import Ranked
from service.recommend.wishes import Wish
from service.recommend.wording import sentence
from service.types import (
    Attributes,
    AttributeValue,
    ItemId,
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
    total[total == 0] = 1.0
    split = np.round((pull / total).astype(np.float64), 4)
    order = (-split).argsort(axis=1, kind="stable")[:, :_SHARES_SHOWN]
    return [
        tuple([Share(wish.ids[part], own[part]) for part in parts if own[part] >= _SMALLEST_SHARE])
        for parts, own in zip(order.tolist(), split.tolist(), strict=True)
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
