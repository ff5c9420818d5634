"""The wire format, version 1: what a request may hold and what an answer looks like."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from service.types import Condition, Filter, ItemId, Match, Query, Range, Scalar, Seed

K_MAX = 500
_SEEDS_MAX = 100
_EXCLUDE_MAX = 10_000
_CONDITIONS_MAX = 100
ITEMS_MAX = 1000
_ATTRIBUTES_MAX = 512

# NUL ends strings in too many systems behind us, and no real id or key holds one.
_NO_NUL = r"^[^\x00]+$"
IdText = Annotated[str, StringConstraints(min_length=1, max_length=512, pattern=_NO_NUL)]
KeyText = Annotated[str, StringConstraints(min_length=1, max_length=256, pattern=_NO_NUL)]
SearchText = Annotated[
    str, StringConstraints(min_length=1, max_length=2000, pattern=r"^[^\x00]*[^\s\x00][^\x00]*$")
]
ScalarIn = Annotated[str, StringConstraints(max_length=512)] | bool | int | float


class _Wire(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, frozen=True)


class SeedIn(_Wire):
    """An item to start from, with its weight."""

    id: IdText
    weight: float = Field(1.0, gt=0, le=1000, description="Relative share of this seed.")


class MatchIn(_Wire):
    """Equal to one value, or to any of several."""

    value: ScalarIn | None = None
    any: list[ScalarIn] | None = Field(None, min_length=1, max_length=1000)

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        if (self.value is None) == (self.any is None):
            raise ValueError("give exactly one of `value` and `any`")
        return self


class RangeIn(_Wire):
    """Inside every bound that is given."""

    gt: float | None = None
    gte: float | None = None
    lt: float | None = None
    lte: float | None = None

    @model_validator(mode="after")
    def _some_bound(self) -> Self:
        if all(bound is None for bound in (self.gt, self.gte, self.lt, self.lte)):
            raise ValueError("give at least one of `gt`, `gte`, `lt`, `lte`")
        return self


class ConditionIn(_Wire):
    """A test of one attribute."""

    key: KeyText
    match: MatchIn | None = None
    range: RangeIn | None = None

    @model_validator(mode="after")
    def _one_test(self) -> Self:
        if (self.match is None) == (self.range is None):
            raise ValueError("give exactly one of `match` and `range`")
        return self

    def to_condition(self) -> Condition:
        """Turn the wire form into the domain's."""
        if self.range is not None:
            bounds = self.range
            return Range(self.key, bounds.gt, bounds.gte, bounds.lt, bounds.lte)
        assert self.match is not None  # the validator saw to it
        values: list[Scalar] = (
            self.match.any if self.match.any is not None else [self.match.value]  # type: ignore[list-item]
        )
        return Match(self.key, tuple(values))


_Conditions = Annotated[list[ConditionIn], Field(max_length=_CONDITIONS_MAX)]


class FilterIn(_Wire):
    """All of `must`, at least one of `should`, none of `must_not`, as in Qdrant."""

    must: _Conditions = []
    should: _Conditions = []
    must_not: _Conditions = []

    def to_filter(self) -> Filter:
        """Turn the wire form into the domain's."""
        return Filter(
            must=tuple(each.to_condition() for each in self.must),
            should=tuple(each.to_condition() for each in self.should),
            must_not=tuple(each.to_condition() for each in self.must_not),
        )


class RecommendRequest(_Wire):
    """Any mix of seeds; without any the fallback answers."""

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
            ]
        }
    )

    like: list[IdText | SeedIn] = Field([], max_length=_SEEDS_MAX)
    dislike: list[IdText | SeedIn] = Field([], max_length=_SEEDS_MAX)
    text: SearchText | None = None
    k: int = Field(20, ge=1, le=K_MAX, description="How many items.")
    filter: FilterIn = FilterIn()
    exclude: list[IdText] = Field([], max_length=_EXCLUDE_MAX, description="Ids never to return.")
    diversity: float = Field(0.0, ge=0, le=1, description="0 pure relevance, 1 pure difference.")
    explain: bool = Field(False, description="Say which seed each item is here for.")
    fields: list[KeyText] | None = Field(
        None, max_length=256, description="Attributes to return; all when absent, none when empty."
    )

    def to_query(self) -> Query:
        """Turn the wire form into the domain's."""
        return Query(
            like=_seeds(self.like),
            dislike=_seeds(self.dislike),
            text=self.text,
            k=self.k,
            filter=self.filter.to_filter(),
            exclude=tuple(ItemId(each) for each in self.exclude),
            diversity=self.diversity,
            explain=self.explain,
            fields=None if self.fields is None else tuple(self.fields),
        )


AttributeName = Annotated[
    str, StringConstraints(min_length=1, max_length=128, pattern=r"^[^\x00-\x1f\x7f-\x9f]+$")
]
_AttributeScalar = str | bool | int | float
AttributeIn = _AttributeScalar | list[_AttributeScalar] | None
_AttributesIn = Annotated[dict[AttributeName, AttributeIn], Field(max_length=_ATTRIBUTES_MAX)]


class ItemIn(_Wire):
    """An item as a whole. Its text is made of the attributes, by the index's own template."""

    id: IdText
    attributes: _AttributesIn = Field(
        description="Everything of it but the id. `hidden` true, or `available_until` (ISO 8601 "
        "or seconds since 1970) in the past, keep it out of every answer."
    )


class PutItemsRequest(_Wire):
    """Items to add, or to replace where their id exists. All are accepted, or none."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "items": [
                        {
                            "id": "pin-9001",
                            "attributes": {
                                "title": "Herbs in tin cans on a railing",
                                "description": "Basil, mint and thyme for a balcony.",
                                "category": "balcony-garden",
                                "price": 12.5,
                            },
                        }
                    ]
                }
            ]
        }
    )

    items: list[ItemIn] = Field(min_length=1, json_schema_extra={"maxItems": ITEMS_MAX})


class PatchItemRequest(_Wire):
    """Attributes to change; null removes one. What is not named stays."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"attributes": {"price": 9.9, "hidden": True}}]}
    )

    attributes: Annotated[_AttributesIn, Field(min_length=1)]


class AcceptedAnswer(BaseModel):
    """Changes that are on the disk and in every answer of this process."""

    request_id: str
    index: str
    sequence: int = Field(description="Of this change; a version that contains it says so.")
    created: int
    changed: int


class ItemAnswer(BaseModel):
    """An item as it is now, also while it is hidden or expired."""

    request_id: str
    index: str
    id: str
    text: str = Field(description="What was embedded.")
    attributes: dict[str, str | int | float | bool | list[str] | None]
    is_shown: bool = Field(description="Whether it may be in an answer now.")
    is_fresh: bool = Field(description="Whether it changed since the index was built.")


class BecauseOut(BaseModel):
    """A seed and its share in a recommendation; `text` stands for the search text."""

    id: str | None = None
    text: Literal[True] | None = None
    share: float


class ItemOut(BaseModel):
    """One recommended item."""

    id: str
    score: float
    because: list[BecauseOut] | None = None
    shared: dict[str, list[str]] | None = None
    fields: dict[str, str | int | float | bool | list[str] | None]


class RecommendAnswer(BaseModel):
    """A ranked list, and which index and model it came from."""

    request_id: str
    items: list[ItemOut]
    index: str
    model: str
    source: Literal["similar", "search", "fallback"]
    missing: list[str]
    degraded: list[str]


class ProblemError(BaseModel):
    """One thing that is wrong, and where."""

    where: str
    what: str


class Problem(BaseModel):
    """RFC 9457 problem details. `code` is stable; the input is never echoed."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    request_id: str
    errors: list[ProblemError] | None = None


def _seeds(given: list[str | SeedIn]) -> tuple[Seed, ...]:
    return tuple(
        Seed(ItemId(each)) if isinstance(each, str) else Seed(ItemId(each.id), each.weight)
        for each in given
    )
