"""What the table knows about each attribute."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from service.catalogue.columns import Column
from service.catalogue.table import ItemTable, write_table
from service.types import AttributeValue, Item, ItemId, Range

OpenColumn = Callable[[list[AttributeValue]], Column]


@pytest.fixture
def open_column(tmp_path: Path) -> OpenColumn:
    """Write a table whose items have the given values of attribute `a`; returns its column."""

    def open_(values: list[AttributeValue]) -> Column:
        items = [Item(ItemId(str(row)), "t", {"a": value}) for row, value in enumerate(values)]
        write_table(items, tmp_path)
        return ItemTable.open(tmp_path).columns["a"]

    return open_


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["x", "y"], "keyword"),
        ([True, False], "keyword"),
        ([["x"], []], "keyword"),
        ([[], []], "keyword"),
        ([1, 2.5], "number"),
        ([1, "x"], "mixed"),
        ([1, "x" * 257], "number"),
        (["x" * 257], "text"),
        (["x" * 257, "x" * 256], "keyword"),
    ],
)
def test_kind_follows_the_values(
    open_column: OpenColumn, values: list[AttributeValue], kind: str
) -> None:
    assert open_column(values).kind == kind


def test_values_are_counted_by_items_most_frequent_first(open_column: OpenColumn) -> None:
    column = open_column(["b", ["a", "b", "b"], "a", "c", True, 7, 7.0, 2.5, None])
    assert column.values == 6
    assert column.top == ((7, 2), ("a", 2), ("b", 2), (2.5, 1), (True, 1), ("c", 1))


def test_top_is_cut_at_100_values_and_left_out_above_1000(
    open_column: OpenColumn, tmp_path: Path
) -> None:
    column = open_column([f"{row % 1000:04d}" for row in range(1500)])
    assert column.values == 1000
    assert column.top == tuple((f"{number:04d}", 2) for number in range(100))
    other = tmp_path / "other"
    other.mkdir()
    items = [Item(ItemId(str(row)), "t", {"k": str(row), "n": row}) for row in range(1001)]
    write_table(items, other)
    for large in ItemTable.open(other).columns.values():
        assert (large.values, large.top) == (1001, ())


def test_attribute_without_any_value_is_no_column(tmp_path: Path) -> None:
    write_table([Item(ItemId("a"), "t", {"a": None})], tmp_path)
    assert dict(ItemTable.open(tmp_path).columns) == {}


def test_any_text_can_be_the_key_of_a_column(tmp_path: Path) -> None:
    keys = ["../up", "a/b", "青", "A", "a", "columns.json"]
    write_table([Item(ItemId("a"), "t", dict.fromkeys(keys, "x"))], tmp_path)
    assert set(ItemTable.open(tmp_path).columns) == set(keys)


def test_numbers_are_nan_where_an_item_has_none(open_column: OpenColumn) -> None:
    numbers = open_column([1, None, "x", 2.5, True]).numbers
    assert numbers is not None
    np.testing.assert_array_equal(numbers, [1, np.nan, np.nan, 2.5, np.nan])


def test_arrays_are_mapped_and_cannot_be_written(open_column: OpenColumn) -> None:
    numbers = open_column([1, 2]).numbers
    assert numbers is not None
    assert isinstance(numbers.base, np.memmap)
    assert not numbers.flags.writeable


def test_range_over_keywords_is_a_value_error(open_column: OpenColumn) -> None:
    with pytest.raises(ValueError, match="holds no numbers"):
        open_column(["x"]).within(Range("a", gt=0))
