"""The filter grammar on the wire, which follows Qdrant's."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from service.api.wire import KeyText, ScalarIn, Wire, at_least_one, exactly_one
from service.types import EVERYTHING, Condition, Filter, Match, Range, Scalar

_CONDITIONS_MAX = 100


class MatchIn(Wire):
    """Equal to one value, or to any of several."""

    value: ScalarIn | None = None
    any: list[ScalarIn] | None = Field(None, min_length=1, max_length=1000)

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        if (self.value is None) == (self.any is None):
            raise ValueError("give exactly one of `value` and `any`")
        return self


class RangeIn(Wire):
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


# Rules stand beside the reference, so that generators of clients make one plain class of each.
_Match = Annotated[MatchIn, Field(json_schema_extra=exactly_one("value", "any"))]
_Range = Annotated[RangeIn, Field(json_schema_extra=at_least_one("gt", "gte", "lt", "lte"))]


class ConditionIn(Wire):
    """A test of one attribute."""

    key: KeyText
    match: _Match | None = None
    range: _Range | None = None

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


_Condition = Annotated[ConditionIn, Field(json_schema_extra=exactly_one("match", "range"))]
_Conditions = Annotated[tuple[_Condition, ...], Field(max_length=_CONDITIONS_MAX)]


class FilterIn(Wire):
    """All of `must`, at least one of `should`, none of `must_not`, as in Qdrant."""

    must: _Conditions = ()
    should: _Conditions = ()
    must_not: _Conditions = ()

    def to_filter(self) -> Filter:
        """Turn the wire form into the domain's."""
        if not (self.must or self.should or self.must_not):
            return EVERYTHING
        return Filter(
            must=tuple(each.to_condition() for each in self.must),
            should=tuple(each.to_condition() for each in self.should),
            must_not=tuple(each.to_condition() for each in self.must_not),
        )
