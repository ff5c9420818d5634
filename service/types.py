"""The words of the domain: frozen values that every layer shares and none of them owns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, NewType, TypeAlias

import numpy as np
from numpy.typing import NDArray

ItemId = NewType("ItemId", str)
"""An item's id as the caller wrote it. Always a string, also where it looks like a number."""

Vector: TypeAlias = NDArray[np.float32]
"""float32 (dim,)."""
Vectors: TypeAlias = NDArray[np.float32]
"""float32 (n, dim), one row an item or text."""
Scores: TypeAlias = NDArray[np.float32]
"""float32 (n,), higher is better."""
Rows: TypeAlias = NDArray[np.int64]
"""int64 (n,), positions in the item table; row i of the vectors is row i of the table."""
NO_ROW = -1
"""Stands among rows for none."""
Mask: TypeAlias = NDArray[np.bool_]
"""bool (n_items,), True where an item may be returned."""

Scalar: TypeAlias = str | int | float | bool
AttributeValue: TypeAlias = Scalar | list[str] | None
Attributes: TypeAlias = Mapping[str, AttributeValue]

Source: TypeAlias = Literal["similar", "search", "fallback"]
"""What answered: neighbours of seeds, neighbours of a text, or the list for nobody."""

Strategy: TypeAlias = Literal["average_vector", "best_score", "sum_scores"]
"""How likes and dislikes become one score, see `service.recommend.wishes`."""

EXTERNAL = "external"
"""Id of every model that we do not have, only its vectors; the revision names which one."""

ModelCheck: TypeAlias = Literal["passed", "unproven", "unchecked", "failed, forced"]
"""How the export that makes vectors stood in its check, see `magpie model check`."""


@dataclass(frozen=True, slots=True)
class Item:
    """One catalogue row: its id, the sentence we embed, and everything else as attributes."""

    id: ItemId
    text: str
    attributes: Attributes = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ModelIdentity:
    """Which model made a vector. Vectors compare only when all of these are equal.

    `digest` is the sha256 (hex) over everything that decides the numbers: graph, tokenizer,
    cut-off and instructions. Two exports of one revision that could differ never count as one.
    """

    id: str
    revision: str
    digest: str

    @property
    def is_external(self) -> bool:
        """Whether the vectors were brought along: then there is nothing to encode a text with."""
        return self.id == EXTERNAL

    def __str__(self) -> str:
        return f"{self.id}@{self.revision if self.is_external else self.revision[:7]}"


@dataclass(frozen=True, slots=True)
class Seed:
    """An item the caller points at. `weight` scales its share in the query, > 0."""

    id: ItemId
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Match:
    """True for an item whose attribute `key` equals, or holds, one of the values in `any`."""

    key: str
    any: tuple[Scalar, ...]


@dataclass(frozen=True, slots=True)
class Range:
    """True for an item whose numeric attribute `key` lies inside every bound that is given."""

    key: str
    gt: float | None = None
    gte: float | None = None
    lt: float | None = None
    lte: float | None = None


Condition: TypeAlias = Match | Range


@dataclass(frozen=True, slots=True)
class Filter:
    """Qdrant's grammar: all of `must`, at least one of `should` if any, none of `must_not`."""

    must: tuple[Condition, ...] = ()
    should: tuple[Condition, ...] = ()
    must_not: tuple[Condition, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.must or self.should or self.must_not)


EVERYTHING = Filter()
"""The filter that all items pass."""


@dataclass(frozen=True, slots=True)
class Cap:
    """At most `max` items of a list share a value of the attribute `key`; `max` is >= 1."""

    key: str
    max: int


@dataclass(frozen=True, slots=True)
class Boost:
    """Adds `weight` to the score of every item that the filter lets through; below 0 it sinks."""

    filter: Filter
    weight: float


@dataclass(frozen=True, slots=True)
class Promotion:
    """Gives a share of the places, spread evenly, to the best of what the filter lets through.

    With 0.1 it is every tenth place of the whole list, counted over its pages.
    """

    filter: Filter
    share: float


@dataclass(frozen=True, slots=True)
class Query:
    """A request, whoever sent it and in whatever wire format: seeds and limits.

    `fields` None means every attribute, an empty tuple means none. `diversity` 0.0 is pure
    relevance, 1.0 pure difference. `strategy` None is the one that was measured to be best: see
    `wish_of`. Without `like` and `text` the fallback answers, unless a strategy is named that can
    go by `dislike` alone. `among` makes it a question of order: only these items,
    seeds included. `shown` are the items of earlier pages, in order: none of them comes again,
    and what holds for a list (caps, promoted places, difference) goes on from them.
    """

    like: tuple[Seed, ...] = ()
    dislike: tuple[Seed, ...] = ()
    text: str | None = None
    strategy: Strategy | None = None
    k: int = 20
    filter: Filter = EVERYTHING
    exclude: tuple[ItemId, ...] = ()
    among: tuple[ItemId, ...] | None = None
    shown: tuple[ItemId, ...] = ()
    min_score: float | None = None
    diversity: float = 0.0
    limit_per: tuple[Cap, ...] = ()
    boost: tuple[Boost, ...] = ()
    promoted: Promotion | None = None
    near_duplicates: bool = False
    """Whether items that are nearly the same may stand side by side."""
    explain: bool = False
    in_words: bool = False
    """Explain also in a sentence; only looked at where `explain` is true."""
    fields: tuple[str, ...] | None = None


class Share(NamedTuple):
    """How much one seed contributed to a recommendation. `id` None stands for the search text.

    A tuple, as several are made for every item of an explained answer.
    """

    id: ItemId | None
    share: float


class Why(NamedTuple):
    """Why an item is in the list.

    Args:
        because: the seeds by their share, largest first.
        shared: attribute values that the item has in common with the seed of the largest share.
        boost: what boosts added to the score.
        words: the same as one English sentence, empty unless asked for.
    """

    because: tuple[Share, ...]
    shared: Mapping[str, Sequence[Scalar]]
    boost: float = 0.0
    words: str = ""


class Recommendation(NamedTuple):
    """One ranked item: its table row, its score, and why it is here (only when asked)."""

    row: int
    score: float
    is_promoted: bool = False
    """Whether it has its place from a promotion, not from its score."""
    why: Why | None = None

    @property
    def because(self) -> tuple[Share, ...]:
        """The seeds by their share, none unless explained."""
        return () if self.why is None else self.why.because

    @property
    def shared(self) -> Mapping[str, Sequence[Scalar]]:
        """What it has in common with the first seed, nothing unless explained."""
        return {} if self.why is None else self.why.shared


@dataclass(frozen=True, slots=True)
class Counts:
    """How a list came to its length: `found` and `back_filled` are its items.

    What the filter left out is counted over the catalogue, everything else over the candidates
    that were looked at: all there are where the list is short.

    Args:
        asked: k, or the length of the list to be ordered.
        found: items that are there for the seeds or the text.
        back_filled: items from `back_filled_from`, which have nothing to do with the seeds.
        filter: items of the catalogue that the filter left out.
        min_score: candidates with too low a score.
        limit_per: candidates beyond a cap.
        near_duplicate: candidates that could only have stood beside their like.
        unscored: candidates whose vector is damaged.
    """

    asked: int
    found: int
    back_filled: int = 0
    back_filled_from: Literal["newest"] | None = None
    filter: int = 0
    min_score: int = 0
    limit_per: int = 0
    near_duplicate: int = 0
    unscored: int = 0


@dataclass(frozen=True, slots=True)
class Recommendations:
    """A ranked list and how it came about. A shortfall always has its reason in `degraded`."""

    rows: list[int]
    scores: list[float]
    source: Source
    counts: Counts
    is_promoted: list[bool] = field(default_factory=list)
    """For each row, or empty where none is."""
    whys: list[Why] = field(default_factory=list)
    """For each row, or empty where nobody asked."""
    missing: tuple[ItemId, ...] = ()
    """Ids in `like`, `dislike` or `among` that the index does not know; they were skipped."""
    degraded: tuple[str, ...] = ()
    """Stable codes of what was less than asked, e.g. `no_known_seed`, `fewer_than_k`."""
    timings_ms: Mapping[str, float] = field(default_factory=dict)
    """Milliseconds by stage: `search`, `rank`."""

    @property
    def items(self) -> tuple[Recommendation, ...]:
        """The list item by item; made anew each time."""
        promoted = self.is_promoted or [False] * len(self.rows)
        whys: Sequence[Why | None] = self.whys or [None] * len(self.rows)
        return tuple(map(Recommendation, self.rows, self.scores, promoted, whys))
