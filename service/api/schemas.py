"""What a request for recommendations may hold, version 1."""

from typing import Annotated, Literal, Self

from pydantic import (
    ConfigDict,
    Field,
    JsonValue,
    PlainValidator,
    ValidationError,
    model_validator,
)
from pydantic_core import to_json

from service.api.filter_schemas import FilterIn
from service.api.wire import WHOLE, CursorText, IdText, KeyText, SearchText, Wire
from service.types import Boost, Cap, ItemId, Promotion, Query, Seed, Strategy

K_MAX = 500
BATCH_MAX = 100
RANK_MAX = 1000
_SEEDS_MAX = 100
_EXCLUDE_MAX = 10_000
_CAPS_MAX = 8
_BOOSTS_MAX = 16

_K = Annotated[int, Field(ge=1, le=K_MAX), WHOLE]


class SeedIn(Wire):
    """An item to start from, with its weight."""

    id: IdText
    weight: float = Field(1.0, gt=0, le=1000, description="Relative share of this seed.")


class CapIn(Wire):
    """At most `max` items of a list, over all its pages, share a value of an attribute."""

    key: KeyText
    max: _K


_SOME_CONDITION: dict[str, JsonValue] = {
    "anyOf": [
        {"required": [part], "properties": {part: {"minItems": 1}}}
        for part in ("must", "should", "must_not")
    ]
}


class _Selecting(Wire):
    filter: FilterIn = Field(json_schema_extra=_SOME_CONDITION)

    @model_validator(mode="after")
    def _selects(self) -> Self:
        if not self.filter.to_filter():
            raise ValueError("give the filter at least one condition")
        return self


class BoostIn(_Selecting):
    """Adds `weight` to the score of every item that passes the filter."""

    weight: float = Field(ge=-10, le=10, description="Scores lie in -1 to 1; below 0 it sinks.")


class PromotedIn(_Selecting):
    """Gives a share of the places to the best items that pass the filter, and marks them."""

    share: float = Field(gt=0, le=1, description="0.1 is every tenth place, over all pages.")


class _Wish(Wire):
    # Tuples, as a default that could be changed is copied for every request.
    like: tuple[IdText | SeedIn, ...] = Field((), max_length=_SEEDS_MAX)
    dislike: tuple[IdText | SeedIn, ...] = Field((), max_length=_SEEDS_MAX)
    text: SearchText | None = None
    strategy: Strategy | None = Field(
        None,
        description="How likes and dislikes are combined: `average_vector`, `sum_scores`, or "
        "`best_score`, where the nearest seed decides. The last two can go by dislikes alone. "
        "When absent: `best_score` where there are likes and no text, otherwise `average_vector`.",
    )
    filter: FilterIn = FilterIn()
    exclude: tuple[IdText, ...] = Field(
        (), max_length=_EXCLUDE_MAX, description="Ids never to return."
    )
    min_score: float | None = Field(None, description="Lowest score, boosts included.")
    diversity: float = Field(0.0, ge=0, le=1, description="0 pure relevance, 1 pure difference.")
    limit_per: tuple[CapIn, ...] = Field(
        (), max_length=_CAPS_MAX, description="For example at most 2 per artist."
    )
    boost: tuple[BoostIn, ...] = Field((), max_length=_BOOSTS_MAX)
    promoted: PromotedIn | None = None
    near_duplicates: bool = Field(
        False, description="Let items that are nearly the same stand side by side."
    )
    explain: bool | Literal["words"] = Field(
        False, description="Say which seed each item is here for; `words` adds a sentence."
    )
    fields: list[KeyText] | None = Field(
        None, max_length=256, description="Attributes to return; all when absent, none when empty."
    )

    def _to_query(self, k: int, among: tuple[ItemId, ...] | None = None) -> Query:
        return Query(
            like=_seeds(self.like),
            dislike=_seeds(self.dislike),
            text=self.text,
            strategy=self.strategy,
            k=k,
            filter=self.filter.to_filter(),
            exclude=tuple(map(ItemId, self.exclude)),
            among=among,
            min_score=self.min_score,
            diversity=self.diversity,
            limit_per=tuple([Cap(each.key, each.max) for each in self.limit_per]),
            boost=tuple([Boost(each.filter.to_filter(), each.weight) for each in self.boost]),
            promoted=None
            if self.promoted is None
            else Promotion(self.promoted.filter.to_filter(), self.promoted.share),
            near_duplicates=self.near_duplicates,
            explain=bool(self.explain),
            in_words=self.explain == "words",
            fields=None if self.fields is None else tuple(self.fields),
        )


class RecommendRequest(_Wish):
    """Any mix of seeds; without any the newest items answer."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"like": ["pin-17"], "k": 5},
                {
                    "like": ["pin-17", {"id": "pin-3", "weight": 2.0}],
                    "dislike": ["pin-9"],
                    "text": "small balcony herb garden",
                    "k": 10,
                    "filter": {"must": [{"key": "price", "range": {"lte": 50}}]},
                    "diversity": 0.3,
                    "explain": True,
                    "fields": ["title", "category"],
                },
                {
                    "like": ["pin-17"],
                    "k": 10,
                    "limit_per": [{"key": "board", "max": 2}],
                    "boost": [
                        {
                            "filter": {"must": [{"key": "price", "range": {"lt": 20}}]},
                            "weight": 0.05,
                        }
                    ],
                    "promoted": {
                        "filter": {
                            "must": [{"key": "category", "match": {"value": "balcony-garden"}}]
                        },
                        "share": 0.2,
                    },
                    "explain": "words",
                },
                {"dislike": ["pin-9"], "strategy": "best_score", "min_score": -0.5, "k": 5},
            ]
        }
    )

    k: _K = Field(20, description="How many items.")
    cursor: CursorText | None = Field(
        None, description="From the answer to this same request: the items after those."
    )

    def to_query(self) -> Query:
        """Turn the wire form into the domain's; the cursor is read against an index."""
        return self._to_query(self.k)


class RankRequest(_Wish):
    """A list of the caller's, to be ordered by the same seeds; all that is known comes back."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"ids": ["pin-9", "pin-3", "pin-1", "no-such-pin"], "like": ["pin-17"]},
                {"ids": ["pin-9", "pin-3", "pin-1"], "text": "herbs for a window sill", "k": 2},
            ]
        }
    )

    ids: list[IdText] = Field(min_length=1, max_length=RANK_MAX)
    k: Annotated[int, Field(ge=1, le=RANK_MAX), WHOLE] | None = Field(
        None, description="How many of the best; all of them when absent."
    )

    def to_query(self) -> Query:
        """Turn the wire form into the domain's."""
        among = tuple(dict.fromkeys(ItemId(each) for each in self.ids))
        return self._to_query(len(among) if self.k is None else self.k, among)


def _or_flaws(value: object) -> RecommendRequest | ValidationError:
    # Read as JSON, in which an array may become a tuple. Flaws are kept as a value: one wrong entry
    # must not cost the others their answers.
    try:
        return RecommendRequest.model_validate_json(to_json(value, inf_nan_mode="constants"))
    except ValidationError as flaws:
        return flaws


class BatchRequest(Wire):
    """Up to 100 requests in one; each has its own answer or problem."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "queries": [
                        {"like": ["pin-17"], "k": 3, "fields": ["title"]},
                        {"text": "rye bread", "k": 2, "fields": []},
                    ]
                }
            ]
        }
    )

    queries: list[
        Annotated[
            RecommendRequest, PlainValidator(_or_flaws, json_schema_input_type=RecommendRequest)
        ]
    ] = Field(min_length=1, max_length=BATCH_MAX)

    def entries(self) -> list[RecommendRequest | ValidationError]:
        """Each entry as it was sent, or what is wrong with it."""
        return [*self.queries]


def _seeds(given: tuple[str | SeedIn, ...]) -> tuple[Seed, ...]:
    return tuple(
        [
            Seed(ItemId(each)) if isinstance(each, str) else Seed(ItemId(each.id), each.weight)
            for each in given
        ]
    )
