"""Whole files: rejects, thresholds, formats."""

import contextlib
import gzip
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.artifacts import sha256_file
from service.catalogue.reader import ColumnMap, Source, Tally, read_catalogue, read_items
from service.catalogue.text import TextTemplate
from service.errors import InvalidCatalogue, InvalidSettings
from service.types import Item

WriteFile = Callable[[str, str | bytes], Path]


@dataclass
class Read:
    """A catalogue held in memory, as only a test may."""

    items: list[Item]
    positions: list[int]
    tally: Tally


def read(
    source: Source | Path,
    columns: ColumnMap,
    *,
    rejects_path: Path | None = None,
    max_reject_share: float = 0.01,
    progress: Callable[[int], None] | None = None,
) -> Read:
    items: list[Item] = []
    positions: list[int] = []

    def take(item: Item, position: int) -> None:
        items.append(item)
        positions.append(position)

    tally = read_catalogue(
        source,
        columns,
        take=take,
        rejects_path=rejects_path,
        max_reject_share=max_reject_share,
        progress=progress,
    )
    assert tally.items == len(items)
    return Read(items, positions, tally)


def _lines(good: int, bad: int) -> str:
    rows = [f'{{"id":{number},"title":"t"}}' for number in range(good)]
    return "\n".join(["{"] * bad + rows)


def test_catalogue_holds_items_in_file_order_and_the_hash_of_the_file(
    write_file: WriteFile, columns: ColumnMap
) -> None:
    path = write_file("x.jsonl", _lines(good=3, bad=0))
    catalogue = read(path, columns, rejects_path=None)
    assert [item.id for item in catalogue.items] == ["0", "1", "2"]
    assert catalogue.tally.rejects == 0
    assert catalogue.tally.source_sha256 == sha256_file(path)


def test_rejects_are_written_with_line_reason_and_row(
    write_file: WriteFile, columns: ColumnMap, tmp_path: Path
) -> None:
    rejects = tmp_path / "new" / "rejects.jsonl"
    path = write_file("x.jsonl", _lines(good=99, bad=1))
    catalogue = read(path, columns, rejects_path=rejects)
    assert (len(catalogue.items), catalogue.tally.rejects) == (99, 1)
    (reject,) = map(orjson.loads, rejects.read_bytes().splitlines())
    assert reject["line"] == 1
    assert reject["reason"].startswith("bad JSON")
    assert reject["row"] == "{"
    assert list(rejects.parent.iterdir()) == [rejects]


def test_more_rejects_than_allowed_fail_and_are_still_written(
    write_file: WriteFile, columns: ColumnMap, tmp_path: Path
) -> None:
    rejects = tmp_path / "rejects.jsonl"
    path = write_file("x.jsonl", _lines(good=93, bad=7))
    with pytest.raises(InvalidCatalogue, match=r"7 of 100 rows.*1 % are allowed") as caught:
        read(path, columns, rejects_path=rejects)
    assert "line 1: bad JSON" in caught.value.message
    assert str(rejects) in caught.value.hint
    assert len(rejects.read_bytes().splitlines()) == 7


def test_share_of_rejects_equal_to_the_threshold_is_allowed(
    write_file: WriteFile, columns: ColumnMap
) -> None:
    path = write_file("x.jsonl", _lines(good=93, bad=7))
    assert read(path, columns, rejects_path=None, max_reject_share=0.07).tally.rejects == 7
    with pytest.raises(InvalidCatalogue, match=r"6\.9 %"):
        read(path, columns, rejects_path=None, max_reject_share=0.069)


def test_rejects_of_an_earlier_run_do_not_stay(
    write_file: WriteFile, columns: ColumnMap, tmp_path: Path
) -> None:
    rejects = write_file("rejects.jsonl", "{}\n")
    read(write_file("x.jsonl", _lines(good=1, bad=0)), columns, rejects_path=rejects)
    assert not rejects.exists()


def test_file_of_items_cannot_be_the_rejects_file(
    write_file: WriteFile, columns: ColumnMap
) -> None:
    path = write_file("x.jsonl", _lines(good=1, bad=0))
    with pytest.raises(InvalidCatalogue, match="at once"):
        read(path, columns, rejects_path=path)
    assert path.exists()


@pytest.mark.parametrize(
    ("name", "content"), [("x.jsonl", ""), ("x.jsonl", "\n\n"), ("x.csv", "id,title\n")]
)
def test_file_without_rows_is_refused(
    write_file: WriteFile, columns: ColumnMap, name: str, content: str
) -> None:
    with pytest.raises(InvalidCatalogue, match="holds no items"):
        read(write_file(name, content), columns, rejects_path=None)


def test_file_of_rejects_only_is_refused_whatever_the_threshold(
    write_file: WriteFile, columns: ColumnMap
) -> None:
    with pytest.raises(InvalidCatalogue, match="2 of 2 rows"):
        read(write_file("x.jsonl", "{\n[]\n"), columns, rejects_path=None, max_reject_share=1.0)


@pytest.mark.parametrize("name", ["x.xlsx", "x", "x.json", "x.parquet.gz", "x.gz"])
def test_unknown_suffix_is_refused_with_the_known_ones(
    write_file: WriteFile, columns: ColumnMap, name: str
) -> None:
    with pytest.raises(InvalidCatalogue, match=r"\.jsonl.*\.csv.*\.parquet"):
        read_items(write_file(name, "x"), columns)


def test_missing_file_and_folder_are_refused_before_the_first_row(
    tmp_path: Path, columns: ColumnMap
) -> None:
    (tmp_path / "folder.csv").mkdir()
    for name in ("none.csv", "folder.csv"):
        with pytest.raises(InvalidCatalogue, match=f"no file .*{name}"):
            read_items(tmp_path / name, columns)


@pytest.mark.parametrize("name", ["x.jsonl.gz", "x.csv.gz"])
@pytest.mark.parametrize("content", [b"not gzip", gzip.compress(b"id,title\n" * 99)[:-9]])
def test_damaged_gzip_is_refused(
    write_file: WriteFile, columns: ColumnMap, name: str, content: bytes
) -> None:
    with pytest.raises(InvalidCatalogue, match="cannot be read"):
        list(read_items(write_file(name, content), columns))


@settings(deadline=None)
@given(
    st.sampled_from(["x.jsonl", "x.jsonl.gz", "x.csv", "x.tsv", "x.parquet"]),
    st.sampled_from([b"", b"id,title\n", b"id\ttitle\n", b'{"id":1,"title":"A"}\n', b"PAR1"]),
    st.lists(st.binary() | st.sampled_from([b'"', b"\n", b"\r", b",", b"\t", b"{", b"a,A\n"])),
)
def test_any_bytes_give_items_rejects_or_a_refusal(
    name: str, start: bytes, rest: list[bytes]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name)
        path.write_bytes(start + b"".join(rest))
        rejects = Path(folder, "rejects.jsonl")
        columns = ColumnMap("id", TextTemplate("{title}"))
        with contextlib.suppress(InvalidCatalogue):
            catalogue = read(path, columns, rejects_path=rejects, max_reject_share=1.0)
            written = rejects.read_bytes().splitlines() if rejects.exists() else []
            assert len(written) == catalogue.tally.rejects


def test_progress_counts_rows(write_file: WriteFile, columns: ColumnMap) -> None:
    counts: list[int] = []
    path = write_file("x.jsonl", _lines(good=2345, bad=5))
    read(path, columns, rejects_path=None, progress=counts.append)
    assert counts == [1000, 2000, 2350]


def test_id_column_can_also_be_the_text(write_file: WriteFile) -> None:
    path = write_file("x.csv", "name\nred\nblue\n")
    catalogue = read(path, ColumnMap("name", TextTemplate("{name}")), rejects_path=None)
    assert [(item.id, item.text) for item in catalogue.items] == [("red", "red"), ("blue", "blue")]
    assert catalogue.items[0].attributes == {}


def test_split_column_that_is_a_list_already_stays_as_it_is(write_file: WriteFile) -> None:
    path = write_file("x.jsonl", '{"id":1,"t":["a|b"]}\n{"id":2,"t":"a| |b"}\n')
    columns = ColumnMap("id", TextTemplate("{t}"), {"t": "|"})
    first, second = read(path, columns, rejects_path=None).items
    assert first.attributes["t"] == ["a|b"]
    assert second.attributes["t"] == ["a", "b"]


@pytest.mark.parametrize(
    ("item_id", "split"), [("", {}), ("id", {"id": "|"}), ("id", {"title": ""})]
)
def test_column_map_that_makes_no_sense_is_refused(item_id: str, split: dict[str, str]) -> None:
    with pytest.raises(InvalidSettings):
        ColumnMap(item_id, TextTemplate("{title}"), split)
