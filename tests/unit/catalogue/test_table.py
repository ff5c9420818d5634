"""The item table."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from service.catalogue.ids import hash64
from service.catalogue.table import ItemTable, write_table
from service.errors import CorruptArtifact, InvalidCatalogue
from service.types import AttributeValue, Item, ItemId

_TEXT = st.text(st.characters(exclude_categories=["Cs"]))
_VALUES = (
    st.none()
    | _TEXT
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.lists(_TEXT)
)
_ITEMS = st.lists(
    st.builds(Item, _TEXT.map(ItemId), _TEXT, st.dictionaries(_TEXT, _VALUES, max_size=4)),
    min_size=1,
    max_size=5,
    unique_by=lambda item: item.id,
)


def _item(item_id: str, **attributes: AttributeValue) -> Item:
    return Item(ItemId(item_id), f"text of {item_id}", attributes)


def _bytes(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def _written(folder: Path, items: Sequence[Item]) -> Path:
    folder.mkdir()
    write_table(items, folder)
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a table of three items."""
    items = [_item("a", kind="x", price=1), _item("b", kind=["x", "y"]), _item("c", price=2.5)]
    return _written(tmp_path / "table", items)


@settings(deadline=None, max_examples=50)
@given(_ITEMS)
def test_every_item_comes_back_by_row_and_by_id(items: list[Item]) -> None:
    with tempfile.TemporaryDirectory() as parent:
        table = ItemTable.open(_written(Path(parent, "t"), items))
        assert len(table) == len(items)
        for row, item in enumerate(items):
            assert table.item(row) == item
            assert table.id(row) == item.id
            assert table.text(row) == item.text
            assert table.attributes(row) == item.attributes
            assert table.row(item.id) == row


@settings(deadline=None, max_examples=50)
@example([Item(ItemId(","), ",", {",": ","})])
@given(_ITEMS)
def test_rows_come_as_the_json_that_they_would_be_written_as(items: list[Item]) -> None:
    with tempfile.TemporaryDirectory() as parent:
        table = ItemTable.open(_written(Path(parent, "t"), items))
        rows = np.arange(len(items))[::-1]
        assert table.written(rows) == [
            (orjson.dumps(item.id), orjson.dumps(item.attributes, option=orjson.OPT_SORT_KEYS))
            for item in reversed(items)
        ]


@pytest.mark.parametrize("row", [-1, 3])
def test_a_row_that_is_not_there_is_an_error_among_others(folder: Path, row: int) -> None:
    with pytest.raises(IndexError):
        ItemTable.open(folder).written(np.array([0, row]))


def test_no_rows_come_as_nothing(folder: Path) -> None:
    assert ItemTable.open(folder).written(np.array([], np.int64)) == []


@settings(deadline=None, max_examples=20)
@given(_ITEMS)
def test_equal_items_give_equal_bytes_whatever_the_order_of_attributes(items: list[Item]) -> None:
    turned = [
        Item(item.id, item.text, dict(reversed(list(item.attributes.items())))) for item in items
    ]
    with tempfile.TemporaryDirectory() as parent:
        first = _bytes(_written(Path(parent, "one"), items))
        assert first == _bytes(_written(Path(parent, "two"), turned))


def test_ids_with_json_syntax_in_them_are_found(tmp_path: Path) -> None:
    ids = ['","text":', "\\", '"', 'a\\","text":"b', "青蟹", "a:b", " a", "{}*\r\n"]
    table = ItemTable.open(_written(tmp_path / "t", [_item(item_id) for item_id in ids]))
    assert [table.id(row) for row in range(len(ids))] == ids
    assert table.rows(ids) == list(range(len(ids)))


@pytest.mark.parametrize("unknown", ["", "A", "a ", "text of a", "\ud800", "?", "x" * 100_000])
def test_unknown_id_has_no_row(folder: Path, unknown: str) -> None:
    table = ItemTable.open(folder)
    assert table.row(unknown) is None
    assert table.rows(["c", unknown, "a"]) == [2, None, 0]


def test_ids_with_one_hash_are_told_apart_by_the_ids_themselves(folder: Path) -> None:
    collided = np.full(3, hash64(b"b"), np.uint64)
    np.save(folder / "ids.hashes.npy", collided)
    np.save(folder / "ids.rows.npy", np.array([2, 0, 1]))
    table = ItemTable.open(folder)
    assert table.row("b") == 1
    np.save(folder / "ids.rows.npy", np.array([2, 0, 2]))
    assert ItemTable.open(folder).row("b") is None


@pytest.mark.parametrize("row", [-1, 3, 10**12])
def test_row_outside_the_table_is_an_index_error(folder: Path, row: int) -> None:
    table = ItemTable.open(folder)
    for read in (table.id, table.item, table.text, table.attributes):
        with pytest.raises(IndexError, match="of a table of 3 items"):
            read(row)


def test_repeated_id_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidCatalogue, match="'b' stands in the catalogue twice"):
        write_table([_item("a"), _item("b"), _item("c"), _item("b")], tmp_path)


def test_no_items_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidCatalogue, match="no items"):
        write_table([], tmp_path)


def test_written_table_is_never_overwritten(folder: Path) -> None:
    before = _bytes(folder)
    with pytest.raises(FileExistsError):
        write_table([_item("z")], folder)
    assert _bytes(folder) == before


def test_attributes_beyond_the_limit_are_refused(tmp_path: Path) -> None:
    items = [_item(str(number), **{f"key{number}": 1}) for number in range(513)]
    with pytest.raises(InvalidCatalogue, match="more than 512"):
        write_table(items, tmp_path)


def test_each_missing_or_cut_file_is_noticed_at_opening(folder: Path) -> None:
    for name, content in _bytes(folder).items():
        path = folder / name
        for damaged in (None, b"", content[: len(content) // 2], content[:-2]):
            path.unlink()
            if damaged is not None:
                path.write_bytes(damaged)
            with pytest.raises(CorruptArtifact):
                ItemTable.open(folder)
            path.write_bytes(content)
    assert len(ItemTable.open(folder)) == 3


@pytest.mark.parametrize(
    "listing",
    [
        b"[]",
        b'{"kind": 1}',
        b'{"kind": {}}',
        b'{"kind": {"kind": "odd", "number": 0, "values": 1, "top": []}}',
        b'{"kind": {"kind": "keyword", "number": "0", "values": 1, "top": []}}',
        b'{"kind": {"kind": "number", "number": 0, "values": 1, "top": []}}',
        b'{"kind": {"kind": "keyword", "number": 0, "values": 1, "top": [1]}}',
    ],
)
def test_listing_that_does_not_describe_columns_is_noticed(folder: Path, listing: bytes) -> None:
    (folder / "columns.json").write_bytes(listing)
    with pytest.raises(CorruptArtifact):
        ItemTable.open(folder)


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("columns/0000.indptr.npy", np.array([0, 2, 4])),
        ("columns/0000.hashes.npy", np.array([1], np.uint64)),
        ("columns/0001.numbers.npy", np.array([1.0, 2.0])),
        ("ids.rows.npy", np.array([0, 1])),
        ("items.offsets.npy", np.array([0, 10])),
    ],
)
def test_arrays_that_do_not_fit_together_are_noticed(
    folder: Path, name: str, array: np.typing.NDArray[np.generic]
) -> None:
    np.save(folder / name, array)
    with pytest.raises(CorruptArtifact):
        ItemTable.open(folder)


@pytest.mark.parametrize(
    "array",
    [
        np.array([0.0, 1.0, 2.0]),
        np.array([[0, 1, 2]]),
        np.array([0, 1], np.uint64),
        np.array(["a"], object),
    ],
)
def test_array_of_another_type_or_shape_is_noticed(
    folder: Path, array: np.typing.NDArray[np.generic]
) -> None:
    np.save(folder / "ids.hashes.npy", array, allow_pickle=True)
    with pytest.raises(CorruptArtifact):
        ItemTable.open(folder)
