"""Items that exist but may not be shown: hidden ones, and those whose time is over."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from service.catalogue.columns import Column
from service.catalogue.table import ItemTable
from service.types import Attributes, AttributeValue, Rows, Scalar

HIDDEN = "hidden"
"""An item with this attribute true is in no answer."""
AVAILABLE_UNTIL = "available_until"
"""The moment from which on an item is in no answer: ISO 8601 (UTC if it does not say), or seconds
since 1970."""

# How true comes out of the formats that we read; CSV has no booleans.
_TRUE: tuple[Scalar, ...] = (True, "true", "True", "TRUE", 1)
# The year 5138; what is beyond was meant as milliseconds.
_LATEST_S = 1e11

Clock: TypeAlias = Callable[[], float]
"""Seconds since 1970, as `time.time`."""


@dataclass(frozen=True, slots=True, eq=False)
class Availability:
    """When the items of a list may be shown.

    Args:
        hidden: int64, rows never to show, ascending.
        ending: int64, rows to show up to a moment, by that moment.
        ends: float64, these moments in seconds since 1970, ascending.
    """

    hidden: Rows
    ending: Rows
    ends: NDArray[np.float64]

    @classmethod
    def of_table(cls, table: ItemTable) -> "Availability":
        """Collect it from the attributes of a table. Moments that cannot be read never come."""
        hidden = table.columns.get(HIDDEN)
        until = table.columns.get(AVAILABLE_UNTIL)
        none = np.empty(0, np.int64)
        rows = none if hidden is None else np.flatnonzero(hidden.holding(_TRUE))
        ends = _ends(until, table) if until is not None else np.empty(0)
        return cls.of_ends(rows, ends)

    @classmethod
    def of_ends(cls, hidden: Rows, ends: NDArray[np.float64]) -> "Availability":
        """Arrange it from hidden rows and the end of every row, infinite where there is none."""
        ending = np.flatnonzero(np.isfinite(ends))
        ending = ending[np.argsort(ends[ending], kind="stable")]
        return cls(hidden, ending, ends[ending])

    def over_at(self, now: float) -> int:
        """Count the items whose time is over."""
        return int(self.ends.searchsorted(now, side="right"))

    def blocked_at(self, now: float) -> Rows:
        """Return the rows that may not be shown, ascending."""
        return np.union1d(self.hidden, self.ending[: self.over_at(now)])

    def window(self, now: float) -> tuple[float, float]:
        """Return from when on (included) and until when (excluded) the same rows are blocked."""
        over = self.over_at(now)
        since = float(self.ends[over - 1]) if over else -np.inf
        until = float(self.ends[over]) if over < len(self.ends) else np.inf
        return since, until


def is_hidden(attributes: Attributes) -> bool:
    """Tell whether an item says of itself that it is hidden."""
    value = attributes.get(HIDDEN)
    return any(each in _TRUE for each in (value if isinstance(value, list) else [value]))


def end_of(attributes: Attributes) -> float:
    """Return when an item's time is over, in seconds since 1970; infinite if it says nothing.

    Raises:
        ValueError: what it says is no moment.
    """
    value = attributes.get(AVAILABLE_UNTIL)
    if value is None:
        return np.inf
    if isinstance(value, bool | list):
        raise ValueError("not a moment")
    if isinstance(value, str):
        moment = datetime.fromisoformat(value.strip())
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    if abs(value) > _LATEST_S:
        raise ValueError("seconds are meant, not milliseconds")
    return float(value)


def end_or_never(attributes: Attributes) -> float:
    """Return `end_of`, infinite also where it cannot be read."""
    try:
        return end_of(attributes)
    except (ValueError, OverflowError):
        return np.inf


def _ends(column: Column, table: ItemTable) -> NDArray[np.float64]:
    ends = np.full(len(table), np.inf)
    if column.numbers is not None:
        known = np.flatnonzero(np.abs(column.numbers) <= _LATEST_S)
        ends[known] = column.numbers[known]
    if column.keywords is not None:
        # Columns keep hashes of texts; the texts themselves are in the items.
        for row in np.unique(column.keywords.rows).tolist():
            ends[row] = end_or_never(table.attributes(row))
    return ends


def is_shown(attributes: Attributes, now: float) -> bool:
    """Tell whether an item may be in an answer at this moment."""
    return not is_hidden(attributes) and now < end_or_never(attributes)


def flaw_of(value: AttributeValue) -> str:
    """Say what is wrong with a value of `available_until`; empty if nothing is."""
    try:
        end_of({AVAILABLE_UNTIL: value})
    except (ValueError, OverflowError):
        return f"{AVAILABLE_UNTIL} is neither an ISO 8601 time nor seconds since 1970"
    return ""
