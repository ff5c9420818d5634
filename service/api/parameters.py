"""Query strings of the GET forms, read as strictly as a body."""

from http import HTTPStatus
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from starlette.requests import Request

from service.api.errors import RequestRefused
from service.api.schemas import K_MAX
from service.api.wire import CursorText, SearchText
from service.types import ItemId, Query, Seed

_P = TypeVar("_P", bound=BaseModel)


class _Parameters(BaseModel):
    # Query strings hold text only, so numbers and booleans are read from it: not strict.
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, frozen=True)

    k: int = Field(20, ge=1, le=K_MAX, description="How many items.")
    diversity: float = Field(0.0, ge=0, le=1, description="0 pure relevance, 1 pure difference.")
    explain: bool | Literal["words"] = Field(
        False, description="Say which seed each item is here for; `words` adds a sentence."
    )
    fields: Annotated[str, StringConstraints(max_length=4096)] | None = Field(
        None, description="Attributes to return, comma separated; all when absent."
    )

    cursor: CursorText | None = Field(
        None, description="From the answer to this same request: the items after those."
    )

    def wanted_fields(self) -> tuple[str, ...] | None:
        """The attribute names in `fields`, None for all."""
        if self.fields is None:
            return None
        return tuple(name.strip() for name in self.fields.split(",") if name.strip())

    @classmethod
    def documented(cls) -> list[dict[str, object]]:
        """Describe the parameters for OpenAPI."""
        schema = cls.model_json_schema()
        required = schema.get("required", [])
        return [
            {
                "name": name,
                "in": "query",
                "required": name in required,
                "schema": {key: value for key, value in shape.items() if key != "description"},
                "description": shape.get("description", ""),
            }
            for name, shape in schema["properties"].items()
        ]


class SimilarParameters(_Parameters):
    """Parameters of GET /items/{id}/similar."""

    def to_query(self, item_id: ItemId) -> Query:
        """The same question as a Query."""
        return Query(
            like=(Seed(item_id),),
            k=self.k,
            diversity=self.diversity,
            explain=bool(self.explain),
            in_words=self.explain == "words",
            fields=self.wanted_fields(),
        )


class SearchParameters(_Parameters):
    """Parameters of GET /search."""

    q: SearchText = Field(description="What to look for.")

    def to_query(self) -> Query:
        """The same question as a Query."""
        return Query(
            text=self.q,
            k=self.k,
            diversity=self.diversity,
            explain=bool(self.explain),
            in_words=self.explain == "words",
            fields=self.wanted_fields(),
        )


def read_parameters(model: type[_P], request: Request) -> _P:
    """Read the query string.

    Raises:
        RequestRefused: a parameter stands there twice, or is not valid UTF-8.
        ValidationError: a parameter is unknown, missing or out of range.
    """
    pairs = request.query_params.multi_items()
    if len({name for name, _ in pairs}) != len(pairs):
        raise RequestRefused(
            HTTPStatus.BAD_REQUEST, "duplicate_parameter", "A query parameter stands there twice."
        )
    return model.model_validate(dict(pairs))
