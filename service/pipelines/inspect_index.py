"""A look inside one version: what it weighs, how it finds, and which of its items are odd."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

import numpy as np

from service.errors import ItemNotFound
from service.index.figures import Figures, K, hub_share, measure
from service.index.manifest import Manifest
from service.index.snapshot import Snapshot
from service.pipelines.duplicate_items import NearPairs, Repeated, find_near, find_repeated
from service.pipelines.item_lines import ItemLine, line_of, one_line
from service.pipelines.neighbour_lists import NeighbourLists, ask, sample_rows

SAMPLE: Final = 5_000
"""Items asked for their neighbours where there are more: seconds, not minutes, at a million."""

Progress = Callable[[str, int, int | None], None]

_TEXT: Final = 200


@dataclass(frozen=True, slots=True)
class Part:
    """Files of a version that belong together, and their size."""

    name: str
    files: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute: its kind, and how many different values it has."""

    key: str
    kind: str
    values: int


@dataclass(frozen=True, slots=True)
class Hub:
    """An item in unusually many lists; `z` is in robust standard deviations from the median."""

    item: ItemLine
    lists: int
    z: float


@dataclass(frozen=True, slots=True)
class Hubness:
    """How evenly the places in the lists are spread over the items.

    Attributes:
        share: of all places, those that hubs take (z > 10), as the publish gate counts it.
        most_listed: the items in most lists.
        unlisted: share of items that are in nobody's list and so are never recommended from
            an item; None where not every item was asked, which leaves it open.
    """

    share: float
    most_listed: tuple[Hub, ...]
    unlisted: float | None


@dataclass(frozen=True, slots=True)
class Outlier:
    """An item far from everything: mean cosine to its neighbours, and the nearest of them."""

    item: ItemLine
    cosine: float
    nearest: ItemLine


@dataclass(frozen=True, slots=True)
class Inspection:
    """Everything that a look inside found.

    Attributes:
        manifest: what the version says of itself.
        parts: its files by what they are for, the largest first.
        attributes: of its items, by key.
        figures: what the publish gates measure.
        asked: items that were asked for their 10 neighbours.
        seed: chose them.
        repeated: equal texts, words, vectors, among all items.
        near: nearly equal vectors, among the items asked and their neighbours.
        hubness: by the lists of the items asked.
        outliers: of the items asked, those farthest from their neighbours.
    """

    manifest: Manifest
    parts: tuple[Part, ...]
    attributes: tuple[Attribute, ...]
    figures: Figures
    asked: int
    seed: int
    repeated: tuple[Repeated, ...]
    near: NearPairs
    hubness: Hubness
    outliers: tuple[Outlier, ...]

    @property
    def size_bytes(self) -> int:
        """Bytes of all files but the manifest."""
        return sum(part.size_bytes for part in self.parts)


@dataclass(frozen=True, slots=True)
class Neighbour:
    """One of the nearest items of an item, with its text and cosine."""

    item: ItemLine
    text: str
    cosine: float


@dataclass(frozen=True, slots=True)
class Neighbourhood:
    """An item and what is nearest to it, nearest first."""

    item: ItemLine
    text: str
    neighbours: tuple[Neighbour, ...]


def inspect(
    snapshot: Snapshot,
    *,
    seed: int = 0,
    sample: int = SAMPLE,
    show: int = 10,
    progress: Progress = lambda stage, done, total: None,
) -> Inspection:
    """Look at every item once and ask a sample for their neighbours. Same seed, same findings.

    Args:
        snapshot: the version, opened.
        seed: for the sample.
        sample: how many items to ask; all where there are fewer.
        show: how many hubs, outliers and groups of duplicates to name.
        progress: told how far each stage is: `read`, `ask`.
    """
    size, table = len(snapshot.table), snapshot.table
    rows = sample_rows(snapshot, sample, seed)
    lists = ask(snapshot, rows, K, lambda done: progress("ask", done, len(rows)))
    columns = sorted(table.columns.items())
    return Inspection(
        manifest=snapshot.manifest,
        parts=_parts(snapshot.manifest),
        attributes=tuple(Attribute(key, each.kind, each.values) for key, each in columns),
        figures=measure(snapshot, seed),
        asked=len(rows),
        seed=seed,
        repeated=find_repeated(snapshot, show, lambda done: progress("read", done, size)),
        near=find_near(snapshot, lists, show),
        hubness=_hubness(snapshot, lists, show),
        outliers=_outliers(snapshot, lists, show),
    )


def neighbourhood(snapshot: Snapshot, item_id: str, k: int = K) -> Neighbourhood:
    """Find what is nearest to an item.

    Raises:
        ItemNotFound: the version does not hold it.
    """
    table = snapshot.table
    row = table.row(item_id)
    if row is None:
        raise ItemNotFound(
            f"{snapshot.name} has no item {one_line(item_id, 80)!r}.",
            f"Its ids look like {table.id(0)!r}.",
        )
    found = ask(snapshot, np.array([row], dtype=np.int64), k).of(0)
    neighbours = (
        Neighbour(line_of(table, other), one_line(table.text(other), _TEXT), cosine)
        for other, cosine in found
    )
    return Neighbourhood(line_of(table, row), one_line(table.text(row), _TEXT), tuple(neighbours))


def _parts(manifest: Manifest) -> tuple[Part, ...]:
    files: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    for path, entry in manifest.files.items():
        name = _purpose(PurePosixPath(path))
        files[name] += 1
        sizes[name] += entry.size_bytes
    return tuple(Part(name, files[name], size) for name, size in sizes.most_common())


def _purpose(path: PurePosixPath) -> str:
    """Files of one purpose are told as one; those of the first level each for itself."""
    if path.parts[0] != "items" or len(path.parts) == 1:
        return str(path)
    if path.name.startswith("ids."):
        return "items/ids.*"
    return "items/columns" if "column" in str(path) else str(path)


def _hubness(snapshot: Snapshot, lists: NeighbourLists, show: int) -> Hubness:
    size = len(snapshot.table)
    listings = lists.listings()
    counts = np.bincount(np.concatenate([np.empty(0, np.int64), *listings]), minlength=size)
    # As `hub_share` has it: robust, and never tighter than chance would be.
    median = float(np.median(counts))
    deviation = 1.4826 * float(np.median(np.abs(counts - median)))
    scale = max(deviation, median**0.5, 1.0)
    most = np.lexsort((np.arange(size), -counts))[:show]
    hubs = (
        Hub(
            line_of(snapshot.table, int(row)), int(counts[row]), float(counts[row] - median) / scale
        )
        for row in most
        if counts[row]
    )
    everyone = len(lists.rows) == size
    unlisted = float((counts == 0).mean()) if everyone and size > 1 else None
    return Hubness(hub_share(listings, size), tuple(hubs), unlisted)


def _outliers(snapshot: Snapshot, lists: NeighbourLists, show: int) -> tuple[Outlier, ...]:
    if not lists.found.shape[1]:
        return ()
    means = np.nanmean(lists.cosines, axis=1)
    table = snapshot.table
    return tuple(
        Outlier(
            line_of(table, int(lists.rows[place])),
            float(means[place]),
            line_of(table, int(lists.found[place, 0])),
        )
        for place in np.lexsort((lists.rows, means))[:show]
    )
