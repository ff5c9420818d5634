"""What the compiled library does for a list is what Python does where there is none."""

from dataclasses import replace
from functools import cache
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.catalogue.table import ItemTable, write_table
from service.errors import CorruptArtifact
from service.index.native import library
from service.index.native import lines as lines_module
from service.index.native.lines import ItemLines
from service.index.native.vary import has_like, pick
from service.index.shelf import rounded
from service.recommend import arrange, diversity
from service.types import Item, ItemId, Vectors


@pytest.fixture(scope="module", autouse=True)
def _compiled() -> None:
    """Compile where nobody has installed this checkout; a machine without a compiler fails here."""
    if library.open_library() is None:
        assert library.compile_library() is None
        library.open_library.cache_clear()
    assert library.is_compiled()


def rows_of(n: int, dim: int, seed: int) -> Vectors:
    rows: Vectors = np.random.default_rng(seed).standard_normal((n, dim)).astype(np.float32)
    return rows


@settings(deadline=None, max_examples=60)
@given(
    n=st.integers(1, 40),
    before=st.integers(0, 14),
    dim=st.sampled_from([24, 64]),
    share=st.sampled_from([0.0, 0.3, 1.0]),
    probe=st.sampled_from([0.0, 0.7]),
    falling=st.booleans(),
    seed=st.integers(0, 10_000),
)
def test_picks_are_those_of_numpy(
    n: int, before: int, dim: int, share: float, probe: float, falling: bool, seed: int
) -> None:
    wanted = 1 + seed % n
    vectors = rows_of(n + before, dim, seed)
    gains = np.random.default_rng(seed + 1).random(n).astype(np.float32)
    if falling:
        gains = np.sort(gains)[::-1].copy()
    span = diversity._Span(diversity.unit_rows(vectors))
    for place in range(n, n + before):
        span.add(place)
    length = np.linalg.norm(vectors[:n], axis=1).mean()
    left = gains / np.float32(length * (probe or length))
    for place in pick(vectors, gains, 1.0, probe, share, diversity.WINDOW, wanted).tolist():
        values = left + np.float32(share) * span.rest(n)
        # Rounding may decide between two that are worth the same.
        assert values[place] >= values.max() - 2e-4
        left[place] = -np.inf
        span.add(place)


def test_going_on_beyond_what_was_wanted_repeats_nothing() -> None:
    candidates, relevance = rows_of(30, 8, 3), np.linspace(1, 0, 30, dtype=np.float32)
    whole = list(diversity.varied(candidates, relevance, 0.5, wanted=30))
    assert list(diversity.varied(candidates, relevance, 0.5, wanted=4)) == whole
    assert list(islice(diversity.varied(candidates, relevance, 0.5, wanted=4), 9)) == whole[:9]
    assert sorted(whole) == list(range(30))


@pytest.mark.parametrize(
    ("vectors", "expected"),
    [
        ([[1, 0], [0, 1], [1, 0]], False),
        ([[1, 0], [0, 1], [0, 3]], True),
        ([[1, 0], [-1, 0]], False),
        ([[0, 0], [0, 0]], False),
        ([[1, 0.1], [9, 1]], True),
    ],
)
def test_like_rows_side_by_side_are_found_whatever_their_length(
    vectors: list[list[float]], expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = np.array(vectors, np.float32)
    assert has_like(rows, arrange.NEAR_DUPLICATE) is expected
    monkeypatch.setattr(arrange, "is_compiled", lambda: False)
    assert arrange.has_near_duplicates(rows) is expected


@pytest.fixture
def table(tmp_path: Path) -> ItemTable:
    texts = ["plain", 'with "quotes", and "text": of JSON', "x" * 3_000, "日本語\n\\", ","]
    items = [
        Item(ItemId(f'id "{number}"'), text, {"title": text, "tags": ["a", 'b"'], "n": number})
        for number, text in enumerate(texts)
    ]
    write_table(items, tmp_path)
    return ItemTable.open(tmp_path)


SCORES = [0.5, -1.0, 1e-06, 3.0, 0.25, 0.125]


def test_items_are_written_as_they_lie_in_the_table(table: ItemTable) -> None:
    rows = [3, 0, 2, 1, 4, 2]
    found = orjson.loads(b"[%b]" % ItemLines(table).items(rows, SCORES))
    assert found == [
        {"id": table.id(row), "score": score, "fields": table.attributes(row)}
        for row, score in zip(rows, SCORES, strict=True)
    ]


def test_each_item_has_its_own_tail(table: ItemTable) -> None:
    rows, tails = [3, 0, 2], [b',"promoted":true', b"", b',"because":[1,2]']
    found = orjson.loads(b"[%b]" % ItemLines(table).items(rows, SCORES[:3], tails))
    own: list[dict[str, object]] = [{"promoted": True}, {}, {"because": [1, 2]}]
    assert found == [
        {"id": table.id(row), "score": score, "fields": table.attributes(row), **more}
        for row, score, more in zip(rows, SCORES, own, strict=False)
    ]


@given(st.lists(st.floats(width=32), min_size=1, max_size=30))
def test_scores_are_rounded_as_numpy_does(scores: list[float]) -> None:
    lines = ItemLines(_one_item())
    written = orjson.loads(b"[%b]" % lines.items([0] * len(scores), scores))
    expected = [orjson.loads(each) for each in rounded(scores)]
    assert [item["score"] for item in written] == expected


def test_no_items_are_none(table: ItemTable) -> None:
    assert ItemLines(table).items([], []) == b""


@pytest.mark.parametrize("row", [-1, 5, 1 << 40])
def test_a_row_that_is_not_there_is_an_error(table: ItemTable, row: int) -> None:
    with pytest.raises(IndexError):
        ItemLines(table).items([0, row], [1.0, 2.0])


def test_a_line_that_is_no_item_is_told(table: ItemTable, tmp_path: Path) -> None:
    path = tmp_path / "items.jsonl"
    path.write_bytes(path.read_bytes().replace(b"attributes", b"attributed"))
    with pytest.raises(CorruptArtifact):
        ItemLines(ItemTable.open(tmp_path)).items([1], [1.0])


def test_rows_of_ids_are_those_of_the_table(tmp_path: Path) -> None:
    ids = [ItemId(each) for each in ("", "a", "aa", 'a"', "a\\", "日本", "a,", '","text":"')]
    ids += [ItemId(f"item {number}") for number in range(3_000)]
    write_table((Item(each, '","text":"', {}) for each in ids), tmp_path)
    lines = ItemLines(ItemTable.open(tmp_path))
    assert [lines.row(each) for each in ids] == list(range(len(ids)))
    others = ["item", "item 3000", "a ", "aaa", "\ud800", "日", "\0", "x" * 100_000]
    assert [lines.row(ItemId(each)) for each in others] == [None] * len(others)


def test_ids_of_one_hash_are_told_apart(table: ItemTable, monkeypatch: pytest.MonkeyPatch) -> None:
    # A table as it would be if every id had the same hash.
    same = replace(table.ids, hashes=np.full(len(table), 7, np.uint64), rows=np.arange(len(table)))
    monkeypatch.setattr(lines_module, "hash64", lambda content: 7)
    lines = ItemLines(replace(table, ids=same))
    every = [table.id(row) for row in range(len(table))]
    assert [lines.row(each) for each in every] == list(range(len(table)))
    assert lines.row(ItemId("another")) is None


@cache
def _one_item() -> ItemTable:
    with TemporaryDirectory() as folder:
        write_table([Item(ItemId("one"), "text", {})], Path(folder))
        return ItemTable.open(Path(folder))
