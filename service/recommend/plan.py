"""What a query means for one shelf: which rows to look at, and what must not come."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np

from service.catalogue.filter_masks import FilterKey, Passing, filter_key
from service.index.shelf import Shelf
from service.recommend.caps import CapCounts
from service.recommend.seeds import KnownSeeds, find_seeds
from service.recommend.wishes import Wish, wish_of
from service.types import Filter, ItemId, Mask, Query, Rows, Vector

# What is ranked anew is chosen among this many times k candidates (Qdrant's default of 1 leaves
# nothing to choose from), within these bounds: a long list has room for difference anyway.
_OVERFETCH = 5
_POOL_MIN = 50
_SPARE_MAX = 400
_WIDER = 4


class BoostMasks:
    """The rows that boosts move ahead, each mask made once a call, as equal ones share a search."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._made: dict[tuple[FilterKey, FilterKey, bool], Mask] = {}

    def of(self, boosted: Filter, filter: Filter, *, is_lifted: bool) -> Mask:
        """The rows of a filter that a boost lifts, or where it sinks them, the others.

        Raises:
            InvalidFilter: it names an unknown key, or a range on a key without numbers.
        """
        chosen, base = self._shelf.allowed(boosted), self._shelf.allowed(filter)
        assert chosen is not None, "a boost has a filter"
        if is_lifted and base is None:
            return chosen
        key = filter_key(boosted), filter_key(filter), is_lifted
        mask = self._made.get(key)
        if mask is None:
            mask = chosen if is_lifted else ~chosen
            mask = self._made[key] = mask if base is None else mask & base
        return mask


@dataclass(slots=True, eq=False)
class Plan:
    """One query, made ready.

    Args:
        query: as it came.
        seeds: what of its seeds is known.
        wish: what is looked for; None where there is nothing to go by.
        passing: what the filter lets through; None for all.
        hidden: int64 rows that must not come.
        among: int64 rows to be ordered; None for the whole catalogue.
        boosted: for each boost the rows that it moves ahead of others.
        promoted: rows that promoted places are filled from, None without promotion.
        shown: rows of earlier pages, in order.
        missing: ids that are not known.
        asked: how many items are wanted.
        pool: how many candidates to look at.
    """

    query: Query
    seeds: KnownSeeds
    wish: Wish | None
    passing: Passing | None
    hidden: Rows
    among: Rows | None
    boosted: list[Mask]
    promoted: Mask | None
    shown: list[int]
    missing: tuple[ItemId, ...]
    asked: int
    pool: int

    @property
    def allowed(self) -> Mask | None:
        """Mask of what the filter lets through, None for all: bool (n_items,)."""
        return None if self.passing is None else self.passing.mask

    @property
    def count(self) -> int:
        """How many rows each probe has to look for, those that are hidden included."""
        # A few hidden rows are cheaper to over-fetch and drop than to turn into a mask of all.
        probes = 1 if self.wish is None else len(self.wish.probes)
        return max(self.query.k, ceil(self.pool / probes)) + len(self.hidden)

    def widen(self) -> None:
        """Look at more candidates the next time."""
        self.pool = max(_WIDER * self.pool, _POOL_MIN)

    @property
    def is_varied(self) -> bool:
        """Whether difference counts; without a wish there is no relevance to trade it against."""
        return self.query.diversity > 0 and self.wish is not None


def plan_of(query: Query, shelf: Shelf, text_vector: Vector | None, masks: BoostMasks) -> Plan:
    """Look up all that a query names.

    Raises:
        InvalidFilter: see `BoostMasks.of`.
        InvalidQuery: a cap on an attribute that no item has.
    """
    seeds = find_seeds(query, shelf)
    wish = wish_of(seeds, shelf, text_vector, query.strategy)
    passing = shelf.passing(query.filter)
    boosted = [
        masks.of(boost.filter, query.filter, is_lifted=boost.weight > 0) for boost in query.boost
    ]
    promoted = None
    if query.promoted is not None:
        promoted = masks.of(query.promoted.filter, query.filter, is_lifted=True)
    if query.limit_per:
        # Refused here, where an error is still the query's own.
        CapCounts(query.limit_per, shelf, ())
    shown = _known(query.shown, shelf)
    excluded = _known(query.exclude, shelf)
    among, missing = None, seeds.missing
    if query.among is not None:
        among, unknown = _rows_among(query.among, shelf)
        missing = tuple(dict.fromkeys((*missing, *unknown)))
        hidden = np.asarray(excluded, np.int64)
    elif shown or excluded:
        hidden = np.unique(np.concatenate([seeds.liked, seeds.disliked, excluded, shown]))
    elif len(seeds.disliked):
        hidden = np.concatenate([seeds.liked, seeds.disliked])
    else:
        hidden = seeds.liked
    return Plan(
        query=query,
        seeds=seeds,
        wish=wish,
        passing=passing,
        hidden=hidden.astype(np.int64, copy=False),
        among=among,
        boosted=boosted,
        promoted=promoted,
        shown=shown,
        missing=missing,
        asked=query.k,
        pool=_pool_size(query, wish),
    )


def _pool_size(query: Query, wish: Wish | None) -> int:
    # Among the nearest may be many that are nearer still to a dislike.
    turns_away = wish is not None and not wish.is_linear and len(wish.against)
    shapes = query.diversity or query.limit_per or query.boost or query.promoted
    if not (shapes or turns_away):
        return query.k
    return max(min(_OVERFETCH * query.k, query.k + _SPARE_MAX), _POOL_MIN)


def _known(ids: Sequence[ItemId], shelf: Shelf) -> list[int]:
    return [row for row in shelf.rows(ids) if row is not None] if ids else []


def _rows_among(ids: tuple[ItemId, ...], shelf: Shelf) -> tuple[Rows, list[ItemId]]:
    """Look up the rows to be ordered, and the ids of those that are not there to be shown."""
    rows: list[int] = []
    unknown: list[ItemId] = []
    for item_id, row in zip(ids, shelf.rows(ids), strict=True):
        if row is None or shelf.is_blocked(row):
            unknown.append(item_id)
        else:
            rows.append(row)
    return np.asarray(list(dict.fromkeys(rows)), np.int64), unknown
