"""A catalogue laid out in the plane: similar items lie together. Needs the extra `inspect`.

Positions are t-SNE of the cosine distances (van der Maaten and Hinton, JMLR 2008), begun from the
principal components as Kobak and Berens advise (Nature Communications 2019). Who is whose
neighbour is kept; distances between groups, and how large or dense a group is, mean little.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from service.errors import InvalidInput, InvalidSettings
from service.index.manifest import Manifest
from service.index.snapshot import Snapshot
from service.pipelines.item_lines import ItemLine, keywords_of, line_of
from service.types import Rows, Vectors

if TYPE_CHECKING:
    from types import ModuleType

MOST_POINTS: Final = 2_500
"""Items on a map: more would take minutes and hide one another."""
FEWEST_POINTS: Final = 10
MOST_GROUPS: Final = 40
"""Groups with a colour of their own; the rest share grey."""

_PERPLEXITY: Final = 30.0
_NEIGHBOURS: Final = 10
# A key is worth a colour if this share of the items has it.
_LEAST_FILLED: Final = 0.6
# And if neighbours share it this much more often than strangers.
_LEAST_GAIN: Final = 0.02


@dataclass(frozen=True, slots=True)
class IndexMap:
    """A laid out sample of a version.

    Attributes:
        manifest: of the version.
        seed: chose the items and the layout.
        items: those on the map.
        points: float32 (n, 2), their places; the unit means nothing.
        colour_by: the attribute whose values are groups; None: there is none.
        groups: names, largest first; at most 40.
        group: int64 (n,), the group of each item, -1 for none or one beyond the 40.
    """

    manifest: Manifest
    seed: int
    items: tuple[ItemLine, ...]
    points: NDArray[np.float32]
    colour_by: str | None
    groups: tuple[str, ...]
    group: NDArray[np.int64]


def lay_out(
    snapshot: Snapshot, *, seed: int = 0, colour_by: str | None = None, most: int = MOST_POINTS
) -> IndexMap:
    """Lay a version out in the plane; on one thread, so that the same seed gives the same map.

    Args:
        snapshot: the version, opened.
        seed: for the sample, where there are more items than fit, and for the layout.
        colour_by: the attribute to colour by. None takes the one, of 2 to 40 different values,
            that neighbours share most often beyond chance.
        most: points on the map.

    Raises:
        InvalidInput: fewer than 10 items, or no such attribute.
        InvalidSettings: scikit-learn is not installed.
    """
    _import_sklearn()
    size, table = len(snapshot.table), snapshot.table
    if size < FEWEST_POINTS:
        raise InvalidInput(f"{size} items are too few for a map; it takes {FEWEST_POINTS}.")
    if colour_by is not None and colour_by not in table.columns:
        known = ", ".join(sorted(table.columns)[:20]) or "none"
        raise InvalidInput(f"No item has the attribute {colour_by!r}.", f"There are: {known}.")
    rows = np.arange(size, dtype=np.int64)
    if size > most:
        rows = np.sort(np.random.default_rng(seed).choice(size, most, replace=False))
    vectors = _unit(np.array(snapshot.vectors[rows]))
    if colour_by is None:
        colour_by = _telling_key(snapshot, rows, vectors)
    groups, group = _group(_labels(snapshot, rows, colour_by) if colour_by else [""] * len(rows))
    return IndexMap(
        manifest=snapshot.manifest,
        seed=seed,
        items=tuple(line_of(table, int(row)) for row in rows),
        points=_project(vectors, seed),
        colour_by=colour_by,
        groups=groups,
        group=group,
    )


def _import_sklearn() -> "tuple[ModuleType, ModuleType]":
    try:
        import threadpoolctl
        from sklearn import manifold
    except ImportError:
        raise InvalidSettings(
            "Drawing a map needs scikit-learn.", "Install it: pip install 'magpie[inspect]'"
        ) from None
    return manifold, threadpoolctl


def _project(vectors: Vectors, seed: int) -> NDArray[np.float32]:
    manifold, threadpoolctl = _import_sklearn()
    projection = manifold.TSNE(
        init="pca",
        metric="cosine",
        perplexity=min(_PERPLEXITY, (len(vectors) - 1) / 3),
        random_state=seed,
        n_jobs=1,
    )
    # Its threads wait for one another by spinning: on busy cores they were ten times slower.
    with threadpoolctl.threadpool_limits(1):
        return np.asarray(projection.fit_transform(vectors), dtype=np.float32)


def _unit(vectors: Vectors) -> Vectors:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: Vectors = (vectors / np.where(lengths > 0, lengths, 1)).astype(np.float32)
    return unit


def _telling_key(snapshot: Snapshot, rows: Rows, vectors: Vectors) -> str | None:
    """The keyword attribute that neighbours agree on most, beyond what chance would give."""
    candidates = [
        key
        for key, column in sorted(snapshot.table.columns.items())
        if column.keywords is not None and 2 <= column.values <= MOST_GROUPS
    ]
    if not candidates:
        return None
    similarity = vectors @ vectors.T
    np.fill_diagonal(similarity, -np.inf)
    count = min(_NEIGHBOURS, len(rows) - 1)
    nearest = np.argpartition(-similarity, count - 1, axis=1)[:, :count]
    gains = {key: _agreement(_labels(snapshot, rows, key), nearest) for key in candidates}
    best = max(candidates, key=lambda key: gains[key])
    return best if gains[best] > _LEAST_GAIN else None


def _agreement(labels: Sequence[str], nearest: NDArray[np.int64]) -> float:
    """How much more often neighbours share a label than two items taken by chance do."""
    _, codes, counts = np.unique(np.array(labels), return_inverse=True, return_counts=True)
    filled = np.array([bool(label) for label in labels])
    if filled.mean() < _LEAST_FILLED or len(counts) < 2:
        return 0.0
    shared = float((codes[nearest] == codes[:, np.newaxis])[filled].mean())
    return shared - float(((counts / len(labels)) ** 2).sum())


def _labels(snapshot: Snapshot, rows: Rows, key: str) -> list[str]:
    """The first value of an attribute for each item, empty where there is none."""
    values = (snapshot.table.attributes(int(row)).get(key) for row in rows)
    return [
        f"{value:g}"
        if isinstance(value, int | float) and not isinstance(value, bool)
        else next(iter(keywords_of(value)), "")
        for value in values
    ]


def _group(labels: Sequence[str]) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    counts = Counter(label for label in labels if label)
    names = sorted(counts, key=lambda label: (-counts[label], label))[:MOST_GROUPS]
    places = {name: place for place, name in enumerate(names)}
    return tuple(names), np.array([places.get(label, -1) for label in labels], dtype=np.int64)
