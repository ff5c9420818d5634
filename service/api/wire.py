"""What every request body has in common: strict, closed, and bounded."""

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, JsonValue, StringConstraints

# NUL ends strings in too many systems behind us, and no real id or key holds one.
_NO_NUL = r"^[^\x00]+$"
IdText = Annotated[str, StringConstraints(min_length=1, max_length=512, pattern=_NO_NUL)]
KeyText = Annotated[str, StringConstraints(min_length=1, max_length=256, pattern=_NO_NUL)]
SearchText = Annotated[
    str, StringConstraints(min_length=1, max_length=2000, pattern=r"^[^\x00]*[^\s\x00][^\x00]*$")
]
CursorText = Annotated[
    str, StringConstraints(min_length=1, max_length=8192, pattern=r"^[A-Za-z0-9_-]+$")
]
ScalarIn = Annotated[str, StringConstraints(max_length=512)] | bool | int | float


def _whole(value: object) -> object:
    # JSON has one kind of number, and to its schema language 20.0 is an integer.
    return int(value) if isinstance(value, float) and value.is_integer() else value


WHOLE = BeforeValidator(_whole)
"""Reads 20.0 as 20. Put it behind the bounds: what stands before it is in the document."""


def exactly_one(*names: str) -> dict[str, JsonValue]:
    """Say in JSON Schema that one of these fields is given; null counts as not given."""
    return {"oneOf": [_given(name, [each for each in names if each != name]) for name in names]}


def at_least_one(*names: str) -> dict[str, JsonValue]:
    """Say in JSON Schema that some of these fields are given; null counts as not given."""
    return {"anyOf": [_given(name, []) for name in names]}


def _given(name: str, absent: list[str]) -> dict[str, JsonValue]:
    others: dict[str, JsonValue] = {each: {"type": "null"} for each in absent}
    return {"required": [name], "properties": {name: {"not": {"type": "null"}}, **others}}


class Wire(BaseModel):
    """Base of request bodies."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, frozen=True)
