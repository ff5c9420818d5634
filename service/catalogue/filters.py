"""Filters: conditions on attributes, evaluated over all items at once."""

import math
from collections.abc import Mapping

import numpy as np

from service.catalogue.columns import Column, as_float
from service.catalogue.rows import cut
from service.errors import InvalidFilter
from service.types import Condition, Filter, Mask, Match, Range

_LISTED_KEYS = 20


def filter_columns(filter: Filter, columns: Mapping[str, Column], size: int) -> Mask:
    """Find the items that a filter lets through; an empty one lets all of them.

    Text matches text, true and false match themselves, numbers match numbers (1 equals 1.0);
    a list matches if one of its entries does. An item without the attribute meets no condition
    on it.

    Args:
        filter: the conditions.
        columns: the attributes, by key.
        size: how many items there are.

    Returns:
        bool (size,).

    Raises:
        InvalidFilter: an unknown key, one whose values are too long to filter by, or a range
            without a bound, with a NaN, or on a key without numbers.
    """
    mask = np.ones(size, np.bool_)
    for condition in filter.must:
        mask &= _meeting(condition, columns)
    if filter.should:
        mask &= np.logical_or.reduce([_meeting(condition, columns) for condition in filter.should])
    for condition in filter.must_not:
        mask &= ~_meeting(condition, columns)
    return mask


def _meeting(condition: Condition, columns: Mapping[str, Column]) -> Mask:
    column = _column(condition.key, columns)
    if isinstance(condition, Match):
        return column.holding(condition.any)
    _check_range(condition, column)
    return column.within(condition)


def _column(key: str, columns: Mapping[str, Column]) -> Column:
    column = columns.get(key)
    if column is None:
        hint = _known_keys(columns)
        raise InvalidFilter("There is no such attribute to filter by.", hint, given=cut(key))
    if column.kind == "text":
        raise InvalidFilter(
            f"The values of {cut(key)} are too long to filter by.", _known_keys(columns)
        )
    return column


def _known_keys(columns: Mapping[str, Column]) -> str:
    keys = sorted(key for key, column in columns.items() if column.kind != "text")
    more = " and more" if len(keys) > _LISTED_KEYS else ""
    return f"Known: {', '.join(map(cut, keys[:_LISTED_KEYS])) or 'none'}{more}."


def _check_range(bounds: Range, column: Column) -> None:
    given = [bound for bound in (bounds.gt, bounds.gte, bounds.lt, bounds.lte) if bound is not None]
    if not given or any(math.isnan(as_float(bound)) for bound in given):
        raise InvalidFilter(
            f"The range of {cut(bounds.key)} has no bound that is a number.",
            "Give one of gt, gte, lt, lte.",
        )
    if column.numbers is None:
        raise InvalidFilter(
            f"{cut(bounds.key)} holds no numbers, so a range cannot be applied.",
            "Use a match instead.",
        )
