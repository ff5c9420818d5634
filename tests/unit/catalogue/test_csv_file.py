"""CSV and TSV."""

import csv
import gzip
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.catalogue.reader import ColumnMap, Reject, read_items
from service.catalogue.text import TextTemplate
from service.errors import InvalidCatalogue
from service.types import Item

WriteFile = Callable[[str, str | bytes], Path]


def test_films_are_read_with_their_genres_split(write_file: WriteFile) -> None:
    path = write_file(
        "movies.csv",
        'movieId,title,genres\n1,Heat (1995),Action|Crime\n11,"President, The",Comedy\n',
    )
    columns = ColumnMap("movieId", TextTemplate("{title}. {genres}"), {"genres": "|"})
    first, second = _items(path, columns)
    assert (first.id, first.text) == ("1", "Heat (1995). Action, Crime")
    assert first.attributes == {"title": "Heat (1995)", "genres": ["Action", "Crime"]}
    assert second.text == "President, The. Comedy"


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("17", 17),
        ("-3", -3),
        ("0", 0),
        ("0.50", 0.5),
        ("007", "007"),
        ("1e5", "1e5"),
        ("+1", "+1"),
        ("1.", "1."),
        (".5", ".5"),
        ("nan", "nan"),
        ("inf", "inf"),
        ("1_000", "1_000"),
        (" 1", " 1"),
        ("١٧", "١٧"),
        ("1234567890123456", "1234567890123456"),
        ("true", "true"),
    ],
)
def test_only_plain_numbers_become_numbers(
    write_file: WriteFile, columns: ColumnMap, cell: str, value: object
) -> None:
    (item,) = _items(write_file("x.csv", f"id,title,n\na,A,{cell}\n"), columns)
    assert item.attributes["n"] == value
    assert type(item.attributes["n"]) is type(value)


def test_ids_text_and_split_columns_stay_text(write_file: WriteFile) -> None:
    path = write_file("x.csv", "id,title,codes\n0017,1984,1|2\n18,2001,3\n")
    columns = ColumnMap("id", TextTemplate("{title}"), {"codes": "|"})
    first, second = _items(path, columns)
    assert (first.id, first.attributes) == ("0017", {"title": "1984", "codes": ["1", "2"]})
    assert (second.id, second.attributes) == ("18", {"title": "2001", "codes": ["3"]})


def test_empty_cells_are_missing(write_file: WriteFile, columns: ColumnMap) -> None:
    (item,) = _items(write_file("x.csv", "id,title,a,b\n1,A,,  \n"), columns)
    assert item.attributes == {"title": "A"}


def test_tabs_byte_order_mark_old_line_ends_and_gzip_are_read(
    write_file: WriteFile, columns: ColumnMap
) -> None:
    tabs = write_file("x.tsv", b"\xef\xbb\xbfid\ttitle\r\na\tA, B\r\n\r\nb\tC\r")
    assert [item.text for item in _items(tabs, columns)] == ["A, B", "C"]
    zipped = write_file("x.csv.gz", gzip.compress(b"id,title\na,A\n"))
    assert [item.text for item in _items(zipped, columns)] == ["A"]


def test_columns_without_a_name_are_left_out(write_file: WriteFile, columns: ColumnMap) -> None:
    (item,) = _items(write_file("x.csv", ",id,title,\n0,a,A,z\n"), columns)
    assert item.attributes == {"title": "A"}


def test_quoted_line_breaks_keep_line_numbers_right(
    write_file: WriteFile, columns: ColumnMap
) -> None:
    path = write_file("x.csv", 'id,title\na,"A\nB\r\nC"\nb\nc,C\na,D\n')
    first, short, last, repeated = read_items(path, columns)
    assert isinstance(first, Item)
    assert first.text == "A B C"
    assert isinstance(last, Item)
    assert short == Reject(5, "wrong number of fields: 1 instead of 2", "b")
    assert repeated == Reject(7, "duplicate id 'a', first in line 2", "a,D")


def test_bytes_that_are_not_utf8_reject_their_row_only(
    write_file: WriteFile, columns: ColumnMap
) -> None:
    path = write_file("x.csv", b"id,title\na,\xe9t\xe9\nb,B\n")
    reject, item = read_items(path, columns)
    assert isinstance(reject, Reject)
    assert (reject.line, reject.reason) == (2, "bad encoding: attribute 'title' is not UTF-8")
    assert isinstance(item, Item)


def test_stray_quote_rejects_each_line_it_swallowed(
    write_file: WriteFile, columns: ColumnMap
) -> None:
    path = write_file("x.csv", 'id,title\na,"A\nb,"B"\nc,C\n')
    first, second, item = read_items(path, columns)
    assert isinstance(first, Reject)
    assert (first.line, first.row) == (2, 'a,"A')
    assert second == Reject(3, "bad CSV: part of the row that starts in line 2", 'b,"B"')
    assert isinstance(item, Item)


def test_quote_that_is_never_closed_loses_no_row_unreported(
    write_file: WriteFile, columns: ColumnMap
) -> None:
    lines = [f"{number},title {number}" for number in range(20_000)]
    path = write_file("x.csv", "\n".join(["id,title", 'x,"open', *lines]))
    rows = list(read_items(path, columns))
    rejects = [row for row in rows if isinstance(row, Reject)]
    assert [row.line for row in rejects] == list(range(2, len(rejects) + 2))
    assert len(rows) == len(lines) + 1
    assert isinstance(rows[-1], Item)


def test_quote_open_at_the_end_of_the_file_is_a_reject(
    write_file: WriteFile, columns: ColumnMap
) -> None:
    (reject,) = read_items(write_file("x.csv", 'id,title\na,"A\n'), columns)
    assert isinstance(reject, Reject)
    assert reject.reason.startswith("bad CSV")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "no header"),
        ("\n", "no header"),
        ("id,title,title\n", "twice: 'title'"),
        ("movieId,name\n", "no column 'id', 'title'"),
        ("id;title\na;A\n", "The columns are: 'id;title'"),
        ('id,"title\n', "header line cannot be read"),
        (b"id,title,\xe9t\xe9\n", "header line cannot be read"),
    ],
)
def test_unusable_header_is_refused(
    write_file: WriteFile, columns: ColumnMap, content: str | bytes, message: str
) -> None:
    with pytest.raises(InvalidCatalogue, match=message):
        list(read_items(write_file("x.csv", content), columns))


_CELL = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))


@settings(deadline=None)
@given(st.lists(st.tuples(_CELL, _CELL)))
def test_text_cells_survive_as_written(cells: list[tuple[str, str]]) -> None:
    columns = ColumnMap("id", TextTemplate("t{a}{b}{id}"))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "x.csv")
        with path.open("w", encoding="utf-8", newline="") as file:
            rows = ((number, *pair) for number, pair in enumerate(cells))
            csv.writer(file).writerows([("id", "a", "b"), *rows])
        read = [item.attributes for item in _items(path, columns)]
    assert read == [
        {name: cell for name, cell in zip("ab", pair, strict=True) if cell.strip()}
        for pair in cells
    ]


def _items(path: Path, columns: ColumnMap) -> list[Item]:
    rows = list(read_items(path, columns))
    items = [row for row in rows if isinstance(row, Item)]
    assert len(items) == len(rows), rows
    return items
