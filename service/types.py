"""The words of the domain: frozen values that every layer shares and none of them owns."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NewType, TypeAlias

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
Mask: TypeAlias = NDArray[np.bool_]
"""bool (n_items,), True where an item may be returned."""

Scalar: TypeAlias = str | int | float | bool
AttributeValue: TypeAlias = Scalar | list[str] | None
Attributes: TypeAlias = Mapping[str, AttributeValue]

Source: TypeAlias = Literal["similar", "search", "fallback"]
"""What answered: neighbours of seeds, neighbours of a text, or the list for nobody."""

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


@dataclass(frozen=True, slots=True)
class Query:
    """A request, whoever sent it and in whatever wire format: seeds and limits.

    `fields` None means every attribute, an empty tuple means none. `diversity` 0.0 is pure
    relevance, 1.0 pure difference. Without `like` and `text` the fallback answers.
    """

    like: tuple[Seed, ...] = ()
    dislike: tuple[Seed, ...] = ()
    text: str | None = None
    k: int = 20
    filter: Filter = field(default_factory=Filter)
    exclude: tuple[ItemId, ...] = ()
    diversity: float = 0.0
    explain: bool = False
    fields: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Share:
    """How much one seed contributed to a recommendation. `id` None stands for the search text."""

    id: ItemId | None
    share: float


@dataclass(frozen=True, slots=True)
class Recommendation:
    """One ranked item: its table row, its score, and why it is here (only when asked)."""

    row: int
    score: float
    because: tuple[Share, ...] = ()
    shared: Mapping[str, tuple[Scalar, ...]] = field(default_factory=dict)
    """Attribute values that the item has in common with the seed of the largest share."""


@dataclass(frozen=True, slots=True)
class Recommendations:
    """A ranked list and how it came about. A shortfall always has its reason in `degraded`."""

    items: tuple[Recommendation, ...]
    source: Source
    missing: tuple[ItemId, ...] = ()
    """Ids in `like` or `dislike` that the index does not know; they were skipped."""
    degraded: tuple[str, ...] = ()
    """Stable codes of what was less than asked, e.g. `no_known_seed`, `fewer_than_k`."""
    timings_ms: Mapping[str, float] = field(default_factory=dict)
    """Milliseconds by stage: `search`, `rank`."""
