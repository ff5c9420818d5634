"""What a cell may hold, and how it becomes an item's id or attribute."""

import datetime
import decimal
import math
import re
from functools import lru_cache

from service.catalogue.rows import RowError, cut
from service.types import AttributeValue, ItemId, Scalar

MAX_ID_CHARACTERS = 512
MAX_NAME_CHARACTERS = 128
# Whole numbers above this are no longer exact in a float, so two ids could become one.
_EXACT_FLOAT = 2.0**53
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def clean_id(value: object) -> ItemId:
    """Turn a cell into an id: text as written, whole numbers without a point.

    Raises:
        RowError: missing, too long, not text or a whole number, or with control characters.
    """
    if value is None or value == "":
        raise RowError("missing id")
    if isinstance(value, int | float | decimal.Decimal) and not isinstance(value, bool):
        return ItemId(str(_exact(value)))
    if not isinstance(value, str):
        raise RowError("id is neither text nor a number")
    if len(value) > MAX_ID_CHARACTERS:
        raise RowError(f"id is longer than {MAX_ID_CHARACTERS} characters")
    if _CONTROL.search(value):
        raise RowError("id contains a control character")
    if flaw := _flaw(value):
        raise RowError(f"bad encoding: id {flaw}")
    return ItemId(value)


@lru_cache(maxsize=4096)
def clean_name(name: str) -> str:
    """Check an attribute's name.

    Raises:
        RowError: empty, too long, with control characters or not encodable.
    """
    if not name or len(name) > MAX_NAME_CHARACTERS or _CONTROL.search(name):
        raise RowError(
            f"attribute name {cut(name)} is not 1 to {MAX_NAME_CHARACTERS} printable characters"
        )
    if flaw := _flaw(name):
        raise RowError(f"bad encoding: attribute name {cut(name)} {flaw}")
    return name


def clean_attribute(name: str, value: object) -> AttributeValue:
    """Turn a cell into an attribute: a scalar, or a list whose entries become text.

    Raises:
        RowError: an object, a list in a list, NaN, infinity, NUL or broken encoding.
    """
    if isinstance(value, list):
        scalars = (_scalar(name, entry) for entry in value if entry is not None)
        return [_entry_text(scalar) for scalar in scalars]
    return None if value is None else _scalar(name, value)


def _exact(value: int | float | decimal.Decimal) -> int:
    """Return a number as the whole number that it exactly is."""
    too_large = isinstance(value, float) and abs(value) >= _EXACT_FLOAT
    if too_large or not math.isfinite(value) or value != int(value):
        raise RowError("id is a number that is not exact and whole; write it as text")
    return int(value)


def _scalar(name: str, value: object) -> Scalar:
    if isinstance(value, str):
        if flaw := _flaw(value):
            raise RowError(f"bad encoding: attribute {cut(name)} {flaw}")
        return value
    if isinstance(value, decimal.Decimal):
        value = float(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise RowError(f"attribute {cut(name)} is NaN or infinite; leave it empty instead")
    if isinstance(value, bool | int | float):
        return value
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    kind = "an object" if isinstance(value, dict) else f"a {type(value).__name__}"
    raise RowError(
        f"attribute {cut(name)} is, or holds, {kind}; "
        "only text, numbers, true, false and lists of them can be kept"
    )


def _entry_text(scalar: Scalar) -> str:
    if isinstance(scalar, bool):
        return "true" if scalar else "false"
    return str(scalar)


def _flaw(text: str) -> str:
    """Say what keeps a text from being stored; empty if nothing does."""
    if "\0" in text:
        return "contains a NUL byte"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "is not UTF-8"
    return ""
