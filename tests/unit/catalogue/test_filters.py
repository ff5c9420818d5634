"""Filters, against examples and against a slow evaluation that is plainly right."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.catalogue.filters import filter_columns
from service.catalogue.table import ItemTable, write_table
from service.errors import InvalidFilter
from service.types import (
    Attributes,
    AttributeValue,
    Condition,
    Filter,
    Item,
    ItemId,
    Mask,
    Match,
    Range,
    Scalar,
)

_ROWS: list[dict[str, AttributeValue]] = [
    {"category": "garden", "price": 50, "tags": ["herb", "diy"], "sale": True, "size": "XL"},
    {"category": "diy", "price": 49.5, "tags": ["wood"], "sale": False, "size": 42},
    {"category": "garden", "price": 120, "tags": [], "size": 42.0},
    {"category": "food", "tags": ["herb"], "sale": "true", "story": "x" * 300},
]


@pytest.fixture
def table(tmp_path: Path) -> ItemTable:
    """Four items."""
    return _table(tmp_path, _ROWS)


def _table(folder: Path, rows: list[dict[str, AttributeValue]]) -> ItemTable:
    items = [Item(ItemId(str(row)), "t", attributes) for row, attributes in enumerate(rows)]
    write_table(items, folder)
    return ItemTable.open(folder)


def filtered(filter_: Filter, table: ItemTable) -> Mask:
    return filter_columns(filter_, table.columns, len(table))


def _rows(table: ItemTable, **parts: tuple[Condition, ...]) -> list[int]:
    mask = filtered(Filter(**parts), table)
    assert mask.shape == (len(table),)
    return [int(row) for row in mask.nonzero()[0]]


def test_an_empty_filter_lets_everything_through(table: ItemTable) -> None:
    assert filtered(Filter(), table).all()


def test_contract_example_finds_cheap_garden_and_diy(table: ItemTable) -> None:
    must = (Match("category", ("garden", "diy")), Range("price", lte=50))
    assert _rows(table, must=must) == [0, 1]


@pytest.mark.parametrize(
    ("condition", "rows"),
    [
        (Match("category", ("garden",)), [0, 2]),
        (Match("category", ()), []),
        (Match("category", ("Garden",)), []),
        (Match("category", ("\ud800",)), []),
        (Match("category", (1, True)), []),
        (Match("tags", ("herb",)), [0, 3]),
        (Match("tags", ("herb", "wood")), [0, 1, 3]),
        (Match("sale", (True,)), [0]),
        (Match("sale", (False,)), [1]),
        (Match("sale", ("true",)), [3]),
        (Match("sale", (1,)), []),
        (Match("price", (50.0, 120)), [0, 2]),
        (Match("price", (True,)), []),
        (Match("price", ("50",)), []),
        (Match("price", (10**400, float("nan"))), []),
        (Match("size", (42, "XL")), [0, 1, 2]),
        (Match("size", ("42",)), []),
        (Range("price", gt=49.5), [0, 2]),
        (Range("price", gte=49.5, lt=50), [1]),
        (Range("price", lte=49), []),
        (Range("price", lt=float("inf")), [0, 1, 2]),
        (Range("size", gte=0), [1, 2]),
        (Range("size", gt=-(10**400), lt=10**400), [1, 2]),
        (Match("price", (*range(100), float("nan"))), [0]),
    ],
)
def test_condition_finds_the_items_that_meet_it(
    table: ItemTable, condition: Condition, rows: list[int]
) -> None:
    assert _rows(table, must=(condition,)) == rows
    assert _rows(table, should=(condition,)) == rows
    assert _rows(table, must_not=(condition,)) == [row for row in range(4) if row not in rows]


def test_conditions_on_one_key_may_repeat(table: ItemTable) -> None:
    both = (Match("tags", ("herb",)), Match("tags", ("diy",)))
    assert _rows(table, must=both) == [0]
    assert _rows(table, should=both) == [0, 3]


def test_unknown_key_is_refused_with_the_known_ones(table: ItemTable) -> None:
    with pytest.raises(InvalidFilter, match="'colour'") as caught:
        filtered(Filter(must_not=(Match("colour", ("red",)),)), table)
    assert "'category', 'price', 'sale', 'size', 'tags'" in caught.value.hint
    assert "story" not in caught.value.hint


def test_at_most_twenty_known_keys_are_listed(tmp_path: Path) -> None:
    table = _table(tmp_path, [{f"k{number:02d}": 1 for number in range(30)}])
    with pytest.raises(InvalidFilter) as caught:
        filtered(Filter(must=(Match("x" * 10_000, (1,)),)), table)
    assert caught.value.hint.count("'k") == 20
    assert "k19' and more" in caught.value.hint
    assert len(str(caught.value)) < 500


def test_key_whose_values_are_too_long_is_refused(table: ItemTable) -> None:
    with pytest.raises(InvalidFilter, match="too long"):
        filtered(Filter(must=(Match("story", ("x" * 300,)),)), table)


def test_range_on_a_key_without_numbers_is_refused(table: ItemTable) -> None:
    with pytest.raises(InvalidFilter, match="'category' holds no numbers"):
        filtered(Filter(must=(Range("category", gt=1),)), table)


@pytest.mark.parametrize("bounds", [Range("price"), Range("price", gt=1, lt=float("nan"))])
def test_range_without_a_usable_bound_is_refused(table: ItemTable, bounds: Range) -> None:
    with pytest.raises(InvalidFilter, match="no bound that is a number"):
        filtered(Filter(should=(bounds,)), table)


# Few values, so that they meet; each key has text and numbers, so that any condition is allowed.
_KEYS = st.sampled_from("abc")
_NUMBERS = st.sampled_from([0, 1, -1, 1.0, 0.5, 2**53, 2**53 + 1, 1e300])
_STRINGS = st.sampled_from(["", "x", "y", "true", "1", "z" * 256, "z" * 257])
_SCALARS = _NUMBERS | _STRINGS | st.booleans()
_ATTRIBUTES = st.dictionaries(_KEYS, _SCALARS | st.none() | st.lists(_STRINGS, max_size=3))
_BOUNDS = st.none() | _NUMBERS
_RANGES = st.builds(Range, _KEYS, _BOUNDS, _BOUNDS, _BOUNDS, _BOUNDS).filter(
    lambda bounds: any(
        bound is not None for bound in (bounds.gt, bounds.gte, bounds.lt, bounds.lte)
    )
)
_MATCHES = st.builds(Match, _KEYS, st.lists(_SCALARS, max_size=3).map(tuple))
_CONDITIONS = st.lists(_MATCHES | _RANGES, max_size=3).map(tuple)
_BASE: list[dict[str, AttributeValue]] = [dict.fromkeys("abc", "x"), dict.fromkeys("abc", 0)]


@settings(deadline=None, max_examples=60)
@given(
    st.lists(_ATTRIBUTES, max_size=12),
    st.lists(st.builds(Filter, _CONDITIONS, _CONDITIONS, _CONDITIONS), min_size=1, max_size=8),
)
def test_mask_equals_the_evaluation_item_by_item(
    rows: list[dict[str, AttributeValue]], filters: list[Filter]
) -> None:
    rows = _BASE + rows
    with tempfile.TemporaryDirectory() as folder:
        table = _table(Path(folder), rows)
        for filter_ in filters:
            passed = filtered(filter_, table).tolist()
            assert passed == [_passes(filter_, row) for row in rows]


def _passes(filter_: Filter, attributes: Attributes) -> bool:
    return (
        all(_meets(condition, attributes) for condition in filter_.must)
        and (not filter_.should or any(_meets(one, attributes) for one in filter_.should))
        and not any(_meets(condition, attributes) for condition in filter_.must_not)
    )


def _meets(condition: Condition, attributes: Attributes) -> bool:
    value = attributes.get(condition.key)
    if isinstance(condition, Match):
        entries = value if isinstance(value, list) else [] if value is None else [value]
        return any(_equal(entry, wanted) for entry in entries for wanted in condition.any)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    number = float(value)
    return (
        (condition.gt is None or number > float(condition.gt))
        and (condition.gte is None or number >= float(condition.gte))
        and (condition.lt is None or number < float(condition.lt))
        and (condition.lte is None or number <= float(condition.lte))
    )


def _equal(entry: Scalar, wanted: Scalar) -> bool:
    for kind in (bool, str):
        if isinstance(entry, kind) or isinstance(wanted, kind):
            same = isinstance(entry, kind) and isinstance(wanted, kind) and entry == wanted
            return same and (not isinstance(entry, str) or len(entry) <= 256)
    return float(entry) == float(wanted)
