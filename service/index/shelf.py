"""What is on offer at a moment: a version and what changed since, to be read as one catalogue.

Rows below the number of items in the version are its own; from there on they are fresh items, in
their order.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import orjson

from service.catalogue.columns import Column
from service.catalogue.filter_masks import FilterMasks, Passing
from service.catalogue.filters import filter_columns
from service.index.availability import Availability, is_shown
from service.index.blocked_search import search_fresh, search_version
from service.index.fresh import AFTER_ALL, FreshItems
from service.index.fresh_columns import WidenedColumns
from service.index.native.library import is_compiled
from service.index.native.liking import LikingByRow
from service.index.native.lines import ItemLines
from service.index.retriever import Neighbours, check_finite, check_search
from service.index.snapshot import Snapshot
from service.types import NO_ROW, AttributeValue, Filter, Item, ItemId, Mask, Rows, Vectors


@dataclass(frozen=True, slots=True, eq=False)
class Shelf:
    """A catalogue at a moment. Immutable, shared between threads, and itself a `Retriever`.

    Hidden and expired items can be looked up and be seeds, but no search and no list has them.

    Args:
        fresh: the version and what changed since.
        frozen: which items of the version are hidden or expire, of `Availability.of_table`.
        revision: names the state of the changes; part of a cache key.
        blocked: int64, rows that may not be shown, ascending.
        since: seconds since 1970 from which on, and `until` which, `blocked` is right.
    """

    fresh: FreshItems
    frozen: Availability
    revision: str
    blocked: Rows
    since: float
    until: float
    _lists: dict[str, Rows] = field(init=False, default_factory=dict)
    _masks: FilterMasks = field(init=False, default_factory=FilterMasks)
    # Asked for several times by every request.
    _frozen_size: int = field(init=False)
    _lines: ItemLines | None = field(init=False)
    liking: LikingByRow | None = field(init=False)  # None where nothing was compiled

    def __post_init__(self) -> None:
        table = self.fresh.snapshot.table
        object.__setattr__(self, "_frozen_size", len(table))
        lines = ItemLines(table) if is_compiled() else None
        object.__setattr__(self, "_lines", lines)
        liking = LikingByRow(self.snapshot.vectors, self.fresh.vectors) if is_compiled() else None
        object.__setattr__(self, "liking", liking)

    @classmethod
    def of(
        cls, fresh: FreshItems, now: float, frozen: Availability | None = None, revision: str = ""
    ) -> "Shelf":
        """Lay out a version and its changes as they are at a moment."""
        if frozen is None:
            frozen = Availability.of_table(fresh.snapshot.table)
        count = len(fresh.snapshot.table)
        parts = (
            fresh.gone_rows,
            frozen.blocked_at(now),
            fresh.availability.blocked_at(now) + count,
        )
        blocked = np.unique(np.concatenate(parts))
        windows = [frozen.window(now), fresh.availability.window(now)]
        since, until = max(each[0] for each in windows), min(each[1] for each in windows)
        over = frozen.over_at(now) + fresh.availability.over_at(now)
        state = f"{revision}.{over}"
        return cls(fresh, frozen, state, blocked, since, until)

    @classmethod
    def of_snapshot(cls, snapshot: Snapshot, now: float = 0.0) -> "Shelf":
        """Lay out a version as it was built."""
        return cls.of(FreshItems.none(snapshot), now)

    def at(self, now: float) -> "Shelf":
        """Return the shelf at another moment; itself if nothing expires in between."""
        if self.since <= now < self.until:
            return self
        revision = self.revision.rpartition(".")[0]
        return Shelf.of(self.fresh, now, self.frozen, revision)

    @property
    def snapshot(self) -> Snapshot:
        """The version."""
        return self.fresh.snapshot

    @property
    def dim(self) -> int:
        """Numbers in a vector."""
        return self.snapshot.manifest.dim

    @property
    def size(self) -> int:
        """Rows, including those that may not be shown."""
        return len(self)

    def __len__(self) -> int:
        return self._frozen_size + len(self.fresh.items)

    def row(self, item_id: ItemId) -> int | None:
        """Return the row of an item, None if there is none."""
        slot = self.fresh.slots.get(item_id)
        if slot is not None:
            return self._frozen_size + slot
        if self._lines is None:
            return self.fresh.frozen_row(item_id)
        row = self._lines.row(item_id)
        return None if row in self.fresh.gone else row

    def rows(self, item_ids: Sequence[ItemId]) -> list[int | None]:
        """Return the row of each item, None where there is none."""
        return [self.row(item_id) for item_id in item_ids]

    def item(self, row: int) -> Item:
        """Return a whole item."""
        slot = row - self._frozen_size
        return self.snapshot.table.item(row) if slot < 0 else self.fresh.items[slot].item

    def id(self, row: int) -> ItemId:
        """Return the id of a row."""
        slot = row - self._frozen_size
        return self.snapshot.table.id(row) if slot < 0 else self.fresh.items[slot].item.id

    def attributes(self, row: int) -> dict[str, AttributeValue]:
        """Return the attributes of a row, sorted by key."""
        slot = row - self._frozen_size
        if slot < 0:
            return self.snapshot.table.attributes(row)
        return dict(sorted(self.fresh.items[slot].item.attributes.items()))

    def written(self, rows: Rows) -> list[tuple[bytes, bytes]]:
        """Return id and attributes of some rows as JSON, the attributes sorted by key."""
        if not self.fresh.items:
            return self.snapshot.table.written(rows)
        count = self._frozen_size
        frozen = iter(self.snapshot.table.written(rows[rows < count]))
        return [
            next(frozen) if row < count else self.fresh.items[row - count].written()
            for row in rows.tolist()
        ]

    @property
    def lines(self) -> ItemLines | None:
        """Reads the items; None where nothing was compiled, or where some are fresh."""
        return None if self.fresh.items else self._lines

    def answered(
        self, rows: Sequence[int], scores: Sequence[float], tails: Sequence[bytes] = ()
    ) -> bytes:
        """Write items as JSON, with their scores and all attributes; see `ItemLines.items`."""
        if self.lines is not None:
            return self.lines.items(rows, scores, tails)
        written = self.written(np.array(rows, np.int64))
        items = zip(written, rounded(scores), tails or [b""] * len(rows), strict=True)
        return b",".join(
            [
                b'{"id":%b,"score":%b,"fields":%b%b}' % (item_id, score, attributes, tail)
                for (item_id, attributes), score, tail in items
            ]
        )

    def is_shown(self, row: int, now: float) -> bool:
        """Tell whether an item may be in an answer at a moment."""
        return is_shown(self.item(row).attributes, now)

    def is_blocked(self, row: int) -> bool:
        """Tell whether no list may have a row at the moment of this shelf."""
        place = int(self.blocked.searchsorted(row))
        return place < len(self.blocked) and int(self.blocked[place]) == row

    @property
    def shown(self) -> int:
        """How many items may be shown."""
        return len(self) - len(self.blocked)

    def vectors(self, rows: Rows) -> Vectors:
        """Gather the vectors of some rows: float32 (len(rows), dim)."""
        if not self.fresh.items:
            return self.snapshot.vectors.take(rows, 0)
        slots = rows - self._frozen_size
        is_fresh = slots >= 0
        if not is_fresh.any():
            return self.snapshot.vectors.take(rows, 0)
        gathered = np.empty((len(rows), self.dim), np.float32)
        gathered[~is_fresh] = self.snapshot.vectors[rows[~is_fresh]]
        gathered[is_fresh] = self.fresh.vectors[slots[is_fresh]]
        return gathered

    @property
    def columns(self) -> Mapping[str, Column]:
        """The version's columns, with the keys and kinds of fresh items."""
        if not self.fresh.items:
            return self.snapshot.table.columns
        return WidenedColumns(self.snapshot.table.columns, self.fresh.columns, self._frozen_size)

    def passing(self, filter: Filter) -> Passing | None:
        """Find the rows that a filter lets through and that may be shown.

        The masks of the latest filters are remembered: the same filter gives the same array.

        Returns:
            bool (len(self),), read-only, and how many they are; None if the filter is empty.

        Raises:
            InvalidFilter: see `filter_columns`.
        """
        return self._masks.get_or_make(filter, lambda: self._allowed(filter)) if filter else None

    def allowed(self, filter: Filter) -> Mask | None:
        """Return the mask of `passing`."""
        passing = self.passing(filter)
        return None if passing is None else passing.mask

    def _allowed(self, filter: Filter) -> Mask:
        mask = filter_columns(filter, self.columns, self._frozen_size)
        if self.fresh.items:
            mask = np.concatenate([mask, self._filter_fresh(filter)])
        mask[self.blocked] = False
        return mask

    def search(
        self, queries: Vectors, k: int, allowed: Mask | None = None, near: Rows | None = None
    ) -> Neighbours:
        """Find the k best rows that may be shown; see `Retriever.search`."""
        if not self.fresh.items and not len(self.blocked):
            return self.snapshot.retriever.search(queries, k, allowed, near)
        queries = check_search(queries, k, allowed, dim=self.dim, size=len(self))
        check_finite(queries)
        count = self._frozen_size
        own, others = allowed, None
        if allowed is not None and self.fresh.items:
            own, others = allowed[:count], allowed[count:]
        if near is not None:
            near = np.where(near < count, near, NO_ROW)
        first = int(self.blocked.searchsorted(count))
        retriever, blocked = self.snapshot.retriever, self.blocked[:first]
        found = [search_version(retriever, blocked, queries, k, own, near)]
        if self.fresh.items:
            blocked = self.blocked[first:] - count
            slots, likeness = search_fresh(self.fresh.vectors, blocked, queries, k, others)
            found.append((np.where(slots >= 0, slots + count, NO_ROW), likeness))
        rows, scores = (np.hstack(parts) for parts in zip(*found, strict=True))
        # Stable: of equals the lower row, and what pads the lists is last.
        order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        return np.take_along_axis(rows, order, 1), np.take_along_axis(scores, order, 1)

    @property
    def newest_first(self) -> Rows:
        """Rows that may be shown, newest first: the order of the catalogue, backwards."""
        order = self._lists.get("newest")
        if order is None:
            order = self._lists["newest"] = self._newest_first()
        return order

    def _filter_fresh(self, filter: Filter) -> Mask:
        size = len(self.fresh.items)
        columns = WidenedColumns(self.fresh.columns, self.snapshot.table.columns, size)
        return filter_columns(filter, columns, size)

    def _newest_first(self) -> Rows:
        count = self._frozen_size
        rows = np.arange(count, dtype=np.int64)
        places = np.fromiter((each.place for each in self.fresh.items), np.int64)
        slots = np.arange(count, count + len(places))
        rows[places[places != AFTER_ALL]] = slots[places != AFTER_ALL]
        order: Rows = np.concatenate([rows, slots[places == AFTER_ALL]])[::-1]
        is_shown = np.ones(len(self), np.bool_)
        is_shown[self.blocked] = False
        return order[is_shown[order]]


def rounded(scores: Sequence[float]) -> list[bytes]:
    """Write scores as JSON, to six digits behind the point."""
    # One call for all of them: numbers hold no comma.
    return orjson.dumps(np.round(scores, 6).tolist())[1:-1].split(b",") if len(scores) else []
