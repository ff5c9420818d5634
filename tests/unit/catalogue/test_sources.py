"""Several files as one catalogue."""

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest

from service.artifacts import sha256_bytes, sha256_file
from service.catalogue.formats import format_named
from service.catalogue.reader import ColumnMap, Reject, read_items
from service.catalogue.sources import file_part, local_source
from service.errors import InvalidCatalogue
from service.types import Item

WriteFile = Callable[[str, str | bytes], Path]


@pytest.fixture
def folder(write_file: WriteFile, tmp_path: Path) -> Path:
    """Three files in three formats; b.jsonl repeats an id of a.csv."""
    write_file("b.jsonl", '{"id":"1","title":"again"}\n{"id":"3","title":"C"}\n')
    write_file("a.csv", "id,title\n1,A\n2,B\n")
    write_file("c.tsv.gz", gzip.compress(b"id\ttitle\n4\tD\n"))
    return tmp_path


def ids(pattern: str, columns: ColumnMap) -> list[str]:
    return [
        item.id for item in read_items(local_source([pattern]), columns) if isinstance(item, Item)
    ]


def test_files_of_a_glob_are_sorted_and_of_any_format(folder: Path, columns: ColumnMap) -> None:
    assert ids(f"{folder}/*", columns) == ["1", "2", "3", "4"]
    assert ids(f"{folder}/**/[ac].*", columns) == ["1", "2", "4"]


def test_files_named_one_by_one_keep_their_order(folder: Path, columns: ColumnMap) -> None:
    source = local_source([f"{folder}/c.tsv.gz", f"{folder}/a.csv", f"{folder}/*.csv"])
    assert [part.name for part in source.parts] == ["c.tsv.gz", "a.csv"]
    assert source.name == "c.tsv.gz and 1 more"
    assert [item.id for item in read_items(source, columns) if isinstance(item, Item)] == [
        "4",
        "1",
        "2",
    ]


def test_duplicate_across_files_is_told_with_both_files_and_lines(
    folder: Path, columns: ColumnMap
) -> None:
    rows = list(read_items(local_source([f"{folder}/*"]), columns))
    (reject,) = (row for row in rows if isinstance(row, Reject))
    assert (reject.file, reject.line, reject.where) == ("b.jsonl", 1, "b.jsonl:1")
    assert reject.reason == "duplicate id '1', first in a.csv:2"


def test_unreadable_line_of_one_of_several_files_names_its_file(
    folder: Path, write_file: WriteFile, columns: ColumnMap
) -> None:
    write_file("b.jsonl", "{\n")
    rows = list(read_items(local_source([f"{folder}/*"]), columns))
    assert [row.where for row in rows if isinstance(row, Reject)] == ["b.jsonl:1"]


def test_missing_column_names_the_file(
    folder: Path, write_file: WriteFile, columns: ColumnMap
) -> None:
    write_file("b.jsonl", '{"id":9}\n')
    with pytest.raises(InvalidCatalogue, match=r"^b\.jsonl: There is no column 'title'"):
        list(read_items(local_source([f"{folder}/*"]), columns))


def test_digest_of_one_file_is_its_sha256_and_of_several_depends_on_each(folder: Path) -> None:
    one, other = sha256_file(folder / "a.csv"), sha256_file(folder / "b.jsonl")
    assert local_source([f"{folder}/a.csv"]).sha256 == one
    both = local_source([f"{folder}/[ab].*"]).sha256
    assert both == sha256_bytes(f"{one}\n{other}".encode())


def test_file_whose_name_has_brackets_is_itself(write_file: WriteFile, columns: ColumnMap) -> None:
    path = write_file("x[1].csv", "id,title\n7,A\n")
    assert ids(str(path), columns) == ["7"]


@pytest.mark.parametrize("name", ["*.parquet", "folder", "absent.csv"])
def test_nothing_there_is_told(folder: Path, name: str) -> None:
    (folder / "folder").mkdir()
    with pytest.raises(InvalidCatalogue, match=r"No file matches|not known by its name|no file"):
        local_source([f"{folder}/{name}"])


def test_format_can_be_named(write_file: WriteFile, columns: ColumnMap) -> None:
    path = write_file("data", "id\ttitle\n1\tA\n")
    (row,) = file_part(path, file_format=format_named("tsv")).rows(columns)
    assert not isinstance(row, Reject)
    assert row.cells == {"id": "1", "title": "A"}
    with pytest.raises(InvalidCatalogue, match="no format 'xlsx'"):
        format_named("xlsx")
