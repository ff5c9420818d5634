"""Items on the wire: put, changed, and looked at."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from service.api.wire import IdText, Wire

ITEMS_MAX = 1000
_ATTRIBUTES_MAX = 512

AttributeName = Annotated[
    str, StringConstraints(min_length=1, max_length=128, pattern=r"^[^\x00-\x1f\x7f-\x9f]+$")
]
_AttributeScalar = str | bool | int | float
AttributeIn = _AttributeScalar | list[_AttributeScalar] | None
# What pydantic leaves out: that no other names are allowed than those of the pattern.
_AttributesIn = Annotated[
    dict[AttributeName, AttributeIn],
    Field(max_length=_ATTRIBUTES_MAX, json_schema_extra={"additionalProperties": False}),
]


class ItemIn(Wire):
    """An item as a whole. Its text is made of the attributes, by the index's own template."""

    id: IdText
    attributes: _AttributesIn = Field(
        description="Everything of it but the id. `hidden` true, or `available_until` (ISO 8601 "
        "or seconds since 1970) in the past, keep it out of every answer."
    )


class PutItemsRequest(Wire):
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


class PatchItemRequest(Wire):
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
