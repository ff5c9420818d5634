"""What answers look like: lists, and problems."""

from typing import Literal

from pydantic import BaseModel, Field


class BecauseOut(BaseModel):
    """A seed and its share in a recommendation; `text` stands for the search text."""

    id: str | None = None
    text: Literal[True] | None = None
    share: float


class ItemOut(BaseModel):
    """One recommended item."""

    id: str
    score: float = Field(
        description="Higher is better: a similarity, boosts added; 0 where there is nothing to be "
        "similar to. With `best_score`, -2 less the similarity to a dislike that is nearer than "
        "every like."
    )
    promoted: Literal[True] | None = Field(
        None, description="It has its place as a promotion, not by its score."
    )
    because: list[BecauseOut] | None = None
    shared: dict[str, list[str]] | None = Field(
        None, description="Attribute values in common with the seed of the largest share."
    )
    boost: float | None = Field(None, description="What boosts added to the score, if any did.")
    words: str | None = Field(None, description="The explanation as a sentence.")
    fields: dict[str, str | int | float | bool | list[str] | None]


class FilteredOutOut(BaseModel):
    """What was left out. `filter` counts items of the catalogue, all others candidates."""

    filter: int
    min_score: int
    limit_per: int
    near_duplicate: int
    unscored: int


class CountsOut(BaseModel):
    """How the list came to its length: found and back_filled together are its items."""

    asked: int
    found: int
    back_filled: int
    back_filled_from: Literal["newest"] | None = None
    filtered_out: FilteredOutOut


class RecommendAnswer(BaseModel):
    """A ranked list, and which index and model it came from."""

    request_id: str
    items: list[ItemOut] = Field(description="Best first.")
    index: str
    model: str
    source: Literal["similar", "search", "fallback"]
    missing: list[str]
    degraded: list[str]
    counts: CountsOut
    cursor: str | None = Field(
        description="Send the same request with it for the next items; null at the end."
    )


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


class BatchProblem(BaseModel):
    """Why one entry of a batch has no list."""

    problem: Problem


class BatchAnswer(BaseModel):
    """For each query, in its order, its list or its problem."""

    request_id: str
    answers: list[RecommendAnswer | BatchProblem]
