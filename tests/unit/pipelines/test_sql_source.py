"""Rows of a real database, SQLite, as a catalogue."""

import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest

from service.catalogue.column_map import ColumnMap
from service.catalogue.reader import Reject, read_items
from service.catalogue.text import TextTemplate
from service.errors import InvalidCatalogue, InvalidSettings
from service.pipelines.sql_source import sql_source
from service.types import Item, ItemId

COLUMNS = ColumnMap("sku", TextTemplate("{name}"), {"tags": "|"})
QUERY = "SELECT sku, name, price, tags FROM items ORDER BY sku"


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    path = tmp_path / "shop.db"
    rows = [(n, f"Thing {n}", n / 4 if n % 2 else None, "a|b") for n in range(10_000)]
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE items (sku INTEGER, name TEXT, price REAL, tags TEXT)")
        database.executemany("INSERT INTO items VALUES (?, ?, ?, ?)", rows)
    return path


def test_rows_become_items_with_the_types_of_the_database(shop: Path) -> None:
    source = sql_source(f"sqlite:///{shop}", QUERY)
    items = [row for row in read_items(source, COLUMNS) if isinstance(row, Item)]
    assert len(items) == 10_000
    assert items[:2] == [
        Item(ItemId("0"), "Thing 0", {"name": "Thing 0", "tags": ["a", "b"]}),
        Item(ItemId("1"), "Thing 1", {"name": "Thing 1", "price": 0.25, "tags": ["a", "b"]}),
    ]
    assert source.name == "sqlite:shop.db"


def test_rows_are_streamed_and_can_be_read_again(shop: Path) -> None:
    source = sql_source(f"sqlite:///{shop}", QUERY)
    first = next(iter(source.rows(None)))
    again = [row for _, row in source.rows(None)]
    assert len(again) == 10_000
    assert first[1] == again[0]


def test_digest_follows_the_rows_and_not_the_file(shop: Path) -> None:
    def digest(query: str) -> str:
        source = sql_source(f"sqlite:///{shop}", query)
        list(source.rows(None))
        return source.sha256

    assert digest(QUERY) == digest(QUERY)
    assert digest(QUERY) != digest(QUERY + " DESC")


def test_nothing_is_ever_committed(shop: Path) -> None:
    source = sql_source(f"sqlite:///{shop}", "DELETE FROM items RETURNING sku, name")
    assert len(list(source.rows(None))) == 10_000
    with closing(sqlite3.connect(shop)) as database:
        assert database.execute("SELECT count(*) FROM items").fetchone() == (10_000,)


def test_duplicate_id_is_told_with_its_rows(shop: Path) -> None:
    source = sql_source(
        f"sqlite:///{shop}", "SELECT 1 AS sku, name, tags FROM items ORDER BY sku LIMIT 2"
    )
    _, reject = read_items(source, COLUMNS)
    assert isinstance(reject, Reject)
    assert (reject.line, reject.reason) == (2, "duplicate id '1', first in line 1")


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("SELECT colour FROM items", "no such column"),
        ("SELECT 1 AS a, 2 AS a", "stands twice: 'a'"),
        ("SELECT sku FROM items", "no column 'name', 'tags'"),
        ("CREATE TABLE other (a)", "returns no rows"),
    ],
)
def test_query_that_cannot_be_used_is_told(shop: Path, query: str, message: str) -> None:
    with pytest.raises(InvalidCatalogue, match=message):
        list(read_items(sql_source(f"sqlite:///{shop}", query), COLUMNS))


@pytest.mark.parametrize("url", ["shop of Ann", "nope://user:password@host/db"])
def test_url_that_is_none_is_told_without_repeating_it(url: str) -> None:
    with pytest.raises(InvalidSettings, match="cannot be used") as caught:
        sql_source(url, "SELECT 1")
    assert url not in str(caught.value)


def test_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sqlalchemy", None)
    with pytest.raises(InvalidSettings, match=r"magpie\[sql\]"):
        sql_source("sqlite://", "SELECT 1")
