"""Why an item is in the list: which seed, with which share, and what they have in common."""

from collections.abc import Mapping
from itertools import takewhile

import numpy as np

from service.catalogue.columns import Column
from service.index.shelf import Shelf
from service.recommend.seeds import QueryVector
from service.types import AttributeValue, ItemId, Scalar, Share, Vector

_SHARES_SHOWN = 3
_SMALLEST_SHARE = 0.05
# A value that more than a quarter of the catalogue has explains nothing.
_COMMONPLACE = 0.25


def shares(query: QueryVector, item: Vector) -> tuple[Share, ...]:
    """Split an item's score among the positive parts of the query, largest first.

    A part's share is its weight times its similarity to the item, over the sum of these; parts
    that pull the other way have none. At most three shares of at least 5 % are named.

    Args:
        query: the combined query.
        item: float32 (dim,), the recommended item's vector.
    """
    pull = np.maximum(query.parts @ item, 0.0) * query.weights
    total = float(pull.sum())
    if total <= 0.0:
        return ()
    order = np.argsort(-pull, kind="stable")[:_SHARES_SHOWN]
    found = [Share(query.ids[index], round(float(pull[index]) / total, 4)) for index in order]
    return tuple(share for share in found if share.share >= _SMALLEST_SHARE)


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
