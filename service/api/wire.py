"""What every request body has in common: strict, closed, and bounded."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints

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


class Wire(BaseModel):
    """Base of request bodies."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, frozen=True)
