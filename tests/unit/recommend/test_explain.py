"""Shares are what each seed adds to the score, and what is shared is what both items have."""

import itertools
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.catalogue.table import ItemTable, write_table
from service.errors import CorruptArtifact
from service.index.native.lines import ItemLines
from service.index.shelf import Shelf
from service.recommend.explain import shared_attributes
from service.recommend.liking import shapley_of_best, shares
from service.recommend.wishes import Wish
from service.types import AttributeValue, Item, ItemId, Vectors

VALUES = st.lists(st.floats(0, 1, width=32), min_size=1, max_size=5)


def by_definition(values: list[float]) -> list[float]:
    """What each adds to the largest so far, averaged over all orders of coming."""
    added = [0.0] * len(values)
    orders = list(itertools.permutations(range(len(values))))
    for order in orders:
        best = 0.0
        for each in order:
            added[each] += max(best, values[each]) - best
            best = max(best, values[each])
    return [each / len(orders) for each in added]


@given(VALUES)
def test_parts_of_the_best_are_shapley_values(values: list[float]) -> None:
    found = shapley_of_best(np.array([values], np.float32))[0]
    assert found == pytest.approx(by_definition(values), abs=1e-6)
    assert found.sum() == pytest.approx(max(values), abs=1e-6)


def wish(*parts: list[float], is_linear: bool) -> Wish:
    vectors: Vectors = np.array(parts, np.float32)
    weights = np.full(len(parts), 1 / len(parts), np.float32)
    ids = tuple(ItemId(f"s{number}") for number in range(len(parts)))
    return Wish(
        vectors, weights, ids, vectors[:0], weights[:0], vectors, np.full(len(parts), -1), is_linear
    )


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        # Where the nearest decides, a seed that is far away is no reason.
        ([0.95, 0.05], {"s0": 0.97}),
        # Two that are equally near are equally good reasons.
        ([0.7, 0.7], {"s0": 0.5, "s1": 0.5}),
        ([0.0, 0.9], {"s1": 1.0}),
    ],
)
def test_where_the_nearest_decides_it_has_the_share(
    item: list[float], expected: dict[str, float]
) -> None:
    found = shares(wish([1, 0], [0, 1], is_linear=False), np.array([item], np.float32))[0]
    assert {str(each.id): each.share for each in found} == pytest.approx(expected, abs=0.005)


def test_where_scores_add_up_shares_are_in_proportion() -> None:
    found = shares(wish([1, 0], [0, 1], is_linear=True), np.array([[0.9, 0.1]], np.float32))[0]
    assert [(each.id, each.share) for each in found] == [("s0", 0.9), ("s1", 0.1)]


# What JSON escapes, what looks like JSON, and what is equal only in part.
TEXTS = st.sampled_from(
    [
        "",
        "a",
        "ab",
        'q"',
        "back\\",
        '\\"',
        "tab\t",
        "line\n",
        "日本",
        "\u2028",
        "]",
        "},{",
        "[",
        ",",
    ]
) | st.text(max_size=3)
ATTRIBUTES = st.dictionaries(
    st.sampled_from(["a", "b", 'k"', "tags", "日", "z\t"]) | st.text(max_size=2),
    TEXTS | st.lists(TEXTS, max_size=4) | st.booleans() | st.integers(-9, 9) | st.none(),
    max_size=5,
)


@settings(deadline=None, max_examples=100)
@given(facts=st.lists(ATTRIBUTES, min_size=2, max_size=9), seed=st.integers(0, 100))
def test_what_is_shared_is_what_python_finds(
    facts: list[dict[str, AttributeValue]], seed: int
) -> None:
    with TemporaryDirectory() as folder:
        items = [Item(ItemId(f"i{n}"), "text", each) for n, each in enumerate(facts)]
        write_table(items, Path(folder))
        table = ItemTable.open(Path(folder))
        chance = np.random.default_rng(seed)
        rows = chance.integers(len(items), size=12).tolist()
        seeds = chance.integers(-1, len(items), size=12).tolist()
        ways = [
            shared_attributes(rows, seeds, cast(Shelf, Tabled(table, lines)))
            for lines in (ItemLines(table), None)
        ]
        assert ways[0] == ways[1]


class Tabled:
    """As much of a shelf as sharing needs."""

    def __init__(self, table: ItemTable, lines: ItemLines | None) -> None:
        self.lines = lines
        self.snapshot = SimpleNamespace(table=table)
        self.written = table.written


def test_values_that_a_quarter_has_say_nothing_and_others_do() -> None:
    with TemporaryDirectory() as folder:
        facts: list[dict[str, AttributeValue]] = [
            {"tags": ["all", f"t{n // 2}", "all"], "kind": "some" if n < 3 else "other", "price": 3}
            for n in range(12)
        ]
        write_table([Item(ItemId(f"i{n}"), "", each) for n, each in enumerate(facts)], Path(folder))
        table = ItemTable.open(Path(folder))
        for lines in (ItemLines(table), None):
            shelf = cast(Shelf, Tabled(table, lines))
            found = shared_attributes([0, 1, 4, 5, 5], [1, 0, 5, 4, -1], shelf)
            assert list(found) == [
                {"kind": ["some"], "tags": ["t0"]},
                {"kind": ["some"], "tags": ["t0"]},
                {"tags": ["t2"]},
                {"tags": ["t2"]},
                {},
            ]


def test_lines_that_are_no_items_and_rows_that_are_not_there_are_told() -> None:
    with TemporaryDirectory() as folder:
        write_table([Item(ItemId("i"), "", {"tags": ["a"]})], Path(folder))
        lines = ItemLines(ItemTable.open(Path(folder)))
        assert lines.shared([], []) == []
        for rows, seeds in (([1], [0]), ([0], [1]), ([-1], [0])):
            with pytest.raises(IndexError):
                lines.shared(rows, seeds)
        path = Path(folder) / "items.jsonl"
        path.write_bytes(path.read_bytes().replace(b"attributes", b"attributed"))
        with pytest.raises(CorruptArtifact):
            ItemLines(ItemTable.open(Path(folder))).shared([0], [0])
