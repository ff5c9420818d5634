"""JSON Lines."""

import gzip
import tempfile
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.catalogue import jsonl_file
from service.catalogue.reader import ColumnMap, Reject, read_items
from service.catalogue.text import TextTemplate
from service.errors import InvalidCatalogue
from service.types import Attributes, Item, ItemId

WriteFile = Callable[[str, str | bytes], Path]
_GOOD = b'{"id":"a","title":"A"}\n'


def test_objects_become_items_with_typed_attributes(
    write_file: WriteFile, columns: ColumnMap
) -> None:
    path = write_file(
        "x.jsonl",
        '{"id": 17, "title": "A", "price": 2.5, "n": 3, "on": true, "tags": ["x", 1], "no": null}',
    )
    attributes: Attributes = {"title": "A", "price": 2.5, "n": 3, "on": True, "tags": ["x", "1"]}
    assert list(read_items(path, columns)) == [Item(ItemId("17"), "A", attributes)]


def test_byte_order_mark_blank_lines_and_missing_last_newline_are_fine(
    write_file: WriteFile, columns: ColumnMap
) -> None:
    path = write_file("x.ndjson", b"\xef\xbb\xbf" + _GOOD + b"\r\n \n" + b'{"id":2,"title":"B"}')
    assert [item.text for item in _items(path, columns)] == ["A", "B"]


def test_gzipped_lines_are_read(write_file: WriteFile, columns: ColumnMap) -> None:
    path = write_file("x.JSONL.gz", gzip.compress(_GOOD))
    assert [item.id for item in _items(path, columns)] == ["a"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{", "bad JSON"),
        (b"[1]", "not an object"),
        (b'"a"', "not an object"),
        (b'{"id":"b","title":NaN}', "bad JSON"),
        (b'{"id":"b","title":Infinity}', "bad JSON"),
        (b'{"id":"b","title":"B","n":1e999}', "bad JSON"),
        (b'{"id":"b","title":"\\ud800"}', "bad JSON"),
        (b"[" * 200_000, "bad JSON"),
        (b'{"id":"b","title":"\xff"}', "bad encoding: not UTF-8 at byte 20"),
        (b'{"id":"b","title":"\\u0000"}', "NUL"),
        (b'{"id":"b","title":"B","x":{"y":1}}', "object"),
        (b'{"title":"B"}', "missing id"),
        (b'{"id":null,"title":"B"}', "missing id"),
        (b'{"id":"b"}', "missing text"),
        (b'{"id":"b","title":" "}', "missing text"),
        (b'{"id":"b","title":"B","":1}', "attribute name"),
        (b'{"id":"a","title":"B"}', "duplicate id 'a', first in line 1"),
    ],
)
def test_bad_line_is_rejected_alone_with_line_and_reason(
    write_file: WriteFile, columns: ColumnMap, line: bytes, reason: str
) -> None:
    path = write_file("x.jsonl", _GOOD + line + b'\n{"id":"c","title":"C"}\n')
    first, reject, last = read_items(path, columns)
    assert isinstance(first, Item)
    assert isinstance(last, Item)
    assert isinstance(reject, Reject)
    assert reject.line == 2
    assert reason in reject.reason
    assert reject.row == line.decode(errors="replace")[:1000]


def test_line_above_the_size_limit_is_rejected_and_the_next_is_read(
    write_file: WriteFile, columns: ColumnMap, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jsonl_file, "MAX_LINE_BYTES", len(_GOOD))
    path = write_file("x.jsonl", b'{"id":"z","title":"' + b"z" * 100 + b'"}\n' + _GOOD)
    reject, item = read_items(path, columns)
    assert isinstance(reject, Reject)
    assert (reject.line, "longer than" in reject.reason) == (1, True)
    assert isinstance(item, Item)


def test_column_that_no_line_has_is_refused_with_those_that_exist(
    write_file: WriteFile, columns: ColumnMap
) -> None:
    path = write_file("x.jsonl", '{"movieId":"a","name":"A"}\n')
    with pytest.raises(InvalidCatalogue, match="'id', 'title'") as caught:
        list(read_items(path, columns))
    assert "'movieId', 'name'" in caught.value.hint


_CELLS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
_VALUES = (
    _CELLS
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.lists(_CELLS)
)


@settings(deadline=None)
@given(
    st.lists(st.dictionaries(st.sampled_from("abc"), _VALUES), min_size=1),
    st.lists(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=9)),
)
def test_what_json_holds_is_what_the_items_hold(
    rows: list[dict[str, object]], ids: list[str]
) -> None:
    unique = dict(zip(ids, rows, strict=False))
    columns = ColumnMap("id", TextTemplate("{title}"))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "x.jsonl")
        lines = [orjson.dumps({"id": i, "title": "t", **row}) for i, row in unique.items()]
        path.write_bytes(b"\n".join(lines))
        read = [(item.id, item.attributes) for item in _items(path, columns)]
    assert read == [(i, {"title": "t", **row}) for i, row in unique.items()]


def _items(path: Path, columns: ColumnMap) -> list[Item]:
    rows = list(read_items(path, columns))
    items = [row for row in rows if isinstance(row, Item)]
    assert len(items) == len(rows)
    return items
