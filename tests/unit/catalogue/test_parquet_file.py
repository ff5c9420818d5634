"""Parquet."""

import datetime
import subprocess
import sys
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path

import pyarrow
import pytest
from pyarrow import parquet

from service.catalogue.reader import ColumnMap, Reject, read_items
from service.errors import InvalidCatalogue
from service.types import Item


def _write(folder: Path, table: Mapping[str, object]) -> Path:
    path = folder / "x.parquet"
    parquet.write_table(pyarrow.table(table), path)
    return path


def test_typed_columns_become_attributes(tmp_path: Path, columns: ColumnMap) -> None:
    path = _write(
        tmp_path,
        {
            "id": [17],
            "title": ["A"],
            "price": [2.5],
            "on": [True],
            "tags": [["x", "y"]],
            "none": pyarrow.array([None], pyarrow.string()),
            "kind": pyarrow.array(["k"]).dictionary_encode(),
            "cost": [Decimal("1.5")],
            "day": [datetime.date(2026, 11, 23)],
            "seen": pyarrow.array([1_700_000_000_123_456_789], pyarrow.timestamp("ns")),
        },
    )
    (item,) = read_items(path, columns)
    assert isinstance(item, Item)
    assert (item.id, item.text) == ("17", "A")
    assert item.attributes == {
        "title": "A",
        "price": 2.5,
        "on": True,
        "tags": ["x", "y"],
        "kind": "k",
        "cost": 1.5,
        "day": "2026-11-23",
        "seen": "2023-11-14T22:13:20.123456",
    }


def test_row_number_stands_for_the_line_across_batches(tmp_path: Path, columns: ColumnMap) -> None:
    ids = [str(number) for number in range(10_000)]
    titles = [None if number == 9_000 else "t" for number in range(10_000)]
    rows = list(read_items(_write(tmp_path, {"id": ids, "title": titles}), columns))
    (reject,) = (row for row in rows if isinstance(row, Reject))
    assert (reject.line, reject.reason) == (9_001, "missing text: nothing in title")
    assert "'9000'" in reject.row
    assert len(rows) == 10_000


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        (float("nan"), "NaN"),
        ({"y": 1}, "object"),
        (b"bytes", "bytes"),
    ],
)
def test_cell_that_cannot_be_kept_rejects_its_row(
    tmp_path: Path, columns: ColumnMap, cell: object, reason: str
) -> None:
    (reject,) = read_items(_write(tmp_path, {"id": ["a"], "title": ["A"], "x": [cell]}), columns)
    assert isinstance(reject, Reject)
    assert reason in reject.reason


def test_bytes_that_are_not_utf8_reject_their_row_only(tmp_path: Path, columns: ColumnMap) -> None:
    titles = pyarrow.array([b"A", b"\xff", b"C"]).cast(pyarrow.binary()).view(pyarrow.string())
    rows = list(read_items(_write(tmp_path, {"id": ["a", "b", "c"], "title": titles}), columns))
    assert [isinstance(row, Item) for row in rows] == [True, False, True]
    assert rows[1] == Reject(2, "bad encoding: a cell is not UTF-8", "")


def test_missing_column_is_refused_with_those_that_exist(
    tmp_path: Path, columns: ColumnMap
) -> None:
    with pytest.raises(InvalidCatalogue, match="no column 'title'") as caught:
        list(read_items(_write(tmp_path, {"id": ["a"], "name": ["A"]}), columns))
    assert "'id', 'name'" in caught.value.hint


def test_column_named_twice_is_refused(tmp_path: Path, columns: ColumnMap) -> None:
    path = tmp_path / "x.parquet"
    cells = [pyarrow.array(["a"])] * 3
    parquet.write_table(pyarrow.Table.from_arrays(cells, names=["id", "title", "title"]), path)
    with pytest.raises(InvalidCatalogue, match="stands twice: 'title'"):
        list(read_items(path, columns))


def test_file_that_is_not_parquet_is_refused(tmp_path: Path, columns: ColumnMap) -> None:
    path = tmp_path / "x.parquet"
    path.write_bytes(b"PAR1 but no more")
    with pytest.raises(InvalidCatalogue, match=r"x\.parquet: The Parquet file cannot be read"):
        list(read_items(path, columns))


def test_without_pyarrow_the_error_names_the_extra(
    tmp_path: Path, columns: ColumnMap, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _write(tmp_path, {"id": ["a"], "title": ["A"]})
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(InvalidCatalogue, match=r"pip install 'magpie\[parquet\]'"):
        list(read_items(path, columns))


def test_pyarrow_is_not_imported_before_a_parquet_file_is_read() -> None:
    program = "import sys, service.catalogue.reader; sys.exit('pyarrow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
