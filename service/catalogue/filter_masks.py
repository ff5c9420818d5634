"""The masks of the latest filters: what they select from never changes, so neither do they."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from service.types import Condition, Filter, Mask, Match

FilterKey: TypeAlias = tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]
"""A filter in one spelling: order and repetition of conditions and values make no difference."""

_BYTES_MAX = 64 << 20
_MASKS_MAX = 1024


@dataclass(frozen=True, slots=True, eq=False)
class Passing:
    """What a filter lets through: a read-only mask, and how many items that is."""

    mask: Mask
    count: int


def filter_key(filter: Filter) -> FilterKey:
    """Spell a filter so that equal ones are spelled equally, and true and 1 are not."""
    return _spelled(filter.must), _spelled(filter.should), _spelled(filter.must_not)


class FilterMasks:
    """Remembers read-only masks, the latest used, within a bound of memory.

    Safe to use from several threads; two that ask for the same new filter at once both work it
    out, and one result is kept.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._masks: OrderedDict[FilterKey, Passing] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._masks)

    def get_or_make(self, filter: Filter, make: Callable[[], Mask]) -> Passing:
        """Return what a filter lets through; its mask is made only if it is not remembered."""
        key = filter_key(filter)
        with self._lock:
            known = self._masks.get(key)
            if known is not None:
                self._masks.move_to_end(key)
                return known
        mask = make()
        mask.flags.writeable = False
        made = Passing(mask, int(np.count_nonzero(mask)))
        with self._lock:
            kept = self._masks.setdefault(key, made)
            if kept is made:
                self._bytes += mask.nbytes
            while self._masks and (self._bytes > _BYTES_MAX or len(self._masks) > _MASKS_MAX):
                self._bytes -= self._masks.popitem(last=False)[1].mask.nbytes
        return kept


def _spelled(conditions: Iterable[Condition]) -> tuple[str, ...]:
    return tuple(sorted({_spelling(condition) for condition in conditions}))


def _spelling(condition: Condition) -> str:
    if isinstance(condition, Match):
        # repr tells 1, 1.0, True and "1" apart; what they match is the column's affair.
        return f"match {condition.key!r} {sorted(set(map(repr, condition.any)))}"
    return repr(condition)
