"""What a cell may hold."""

import datetime
import decimal

import pytest

from service.catalogue.rows import RowError
from service.catalogue.values import clean_attribute, clean_id, clean_name


@pytest.mark.parametrize(
    ("cell", "item_id"),
    [
        ("a", "a"),
        (" 007 ", " 007 "),
        (17, "17"),
        (17.0, "17"),
        (-1, "-1"),
        (2**64 - 1, "18446744073709551615"),
        (decimal.Decimal("17"), "17"),
        ("青蟹", "青蟹"),
        ("x" * 512, "x" * 512),
    ],
)
def test_id_is_text_as_written_or_a_whole_number(cell: object, item_id: str) -> None:
    assert clean_id(cell) == item_id


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        (None, "missing id"),
        ("", "missing id"),
        (1.5, "not exact and whole"),
        (2.0**64, "not exact and whole"),
        (float("nan"), "not exact and whole"),
        (decimal.Decimal("NaN"), "not exact and whole"),
        (decimal.Decimal("1.5"), "not exact and whole"),
        (True, "neither text nor a number"),
        (["a"], "neither text nor a number"),
        ("x" * 513, "longer than 512"),
        ("a\nb", "control character"),
        ("a\0b", "control character"),
        ("a\x85b", "control character"),
        ("a\ud800", "bad encoding"),
    ],
)
def test_unusable_id_is_refused_with_its_reason(cell: object, reason: str) -> None:
    with pytest.raises(RowError, match=reason):
        clean_id(cell)


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        (None, None),
        ("", ""),
        (True, True),
        (3, 3),
        (2.5, 2.5),
        (["a", 1, 2.5, True, None], ["a", "1", "2.5", "true"]),
        (decimal.Decimal("9.99"), 9.99),
        (datetime.date(2026, 11, 23), "2026-11-23"),
        (datetime.datetime(2026, 11, 23, 10, 15), "2026-11-23T10:15:00"),
    ],
)
def test_attribute_is_a_scalar_or_a_list_of_text(cell: object, value: object) -> None:
    cleaned = clean_attribute("a", cell)
    assert cleaned == value
    assert type(cleaned) is type(value)


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ({"b": 1}, "'a' is, or holds, an object"),
        ([{"b": 1}], "'a' is, or holds, an object"),
        ([["b"]], "'a' is, or holds, a list"),
        (b"bytes", "'a' is, or holds, a bytes"),
        (float("nan"), "'a' is NaN or infinite"),
        (float("-inf"), "'a' is NaN or infinite"),
        ("x\0", "bad encoding: attribute 'a' contains a NUL byte"),
        (["\udcff"], "bad encoding: attribute 'a' is not UTF-8"),
    ],
)
def test_unusable_attribute_is_refused_with_its_reason(cell: object, reason: str) -> None:
    with pytest.raises(RowError, match=reason):
        clean_attribute("a", cell)


@pytest.mark.parametrize("name", ["", "x" * 129, "a\tb", "a\ud800"])
def test_unusable_attribute_name_is_refused(name: str) -> None:
    with pytest.raises(RowError, match="attribute name"):
        clean_name(name)
