import json
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from loadtests.catalogue import Catalogue
from loadtests.traffic import SHARES, Call, Traffic, read_queries

QUERIES = read_queries(Path(__file__).parents[3] / "loadtests" / "queries.txt")
CATALOGUE = Catalogue(tuple(f"ß/{n}" for n in range(300)), "category", ("baking", "garden"))


def calls(count: int, catalogue: Catalogue = CATALOGUE, seed: int = 1) -> list[Call]:
    traffic = Traffic(catalogue, QUERIES, Random(seed))
    return [traffic.next_call() for _ in range(count)]


@pytest.fixture(scope="module")
def many() -> list[Call]:
    return calls(8000)


def of(scenario: str, drawn: list[Call]) -> list[Call]:
    return [call for call in drawn if call.scenario == scenario]


def wish_of(call: Call) -> dict[str, Any]:
    assert call.body is not None
    wish: dict[str, Any] = json.loads(call.body)
    return wish


def bodies(drawn: list[Call]) -> list[dict[str, Any]]:
    return [wish_of(call) for call in drawn]


def test_scenarios_come_in_their_shares(many: list[Call]) -> None:
    counts = Counter(call.scenario for call in many)

    for scenario, share in SHARES.items():
        assert counts[scenario] / len(many) == pytest.approx(share / sum(SHARES.values()), rel=0.2)


def test_same_chance_gives_the_same_traffic() -> None:
    assert calls(200, seed=5) == calls(200, seed=5)
    assert calls(200, seed=5) != calls(200, seed=6)


def test_item_pages_prefer_popular_items(many: list[Call]) -> None:
    counts = Counter(unquote(call.path.split("/")[2]) for call in of("item page", many))

    assert counts[CATALOGUE.ids[0]] > 5 * counts[CATALOGUE.ids[50]]
    assert set(counts) <= set(CATALOGUE.ids)


def test_item_page_expects_everything_but_its_own_item(many: list[Call]) -> None:
    call = of("item page", many)[0]

    assert call.expected.hidden == {unquote(call.path.split("/")[2])}
    assert "/" not in call.path.removeprefix("/items/").removesuffix("/similar?k=20")


def test_searches_are_queries_with_a_long_tail(many: list[Call]) -> None:
    texts = [parse_qs(urlsplit(call.path).query)["q"][0] for call in of("search", many)]

    assert all(any(text.startswith(query) for query in QUERIES) for text in texts)
    assert len(set(texts) - set(QUERIES)) > 100


def test_boards_hold_3_to_10_different_items(many: list[Call]) -> None:
    boards = bodies(of("board", many))

    assert {len(board["like"]) for board in boards} == set(range(3, 11))
    assert all(len(set(board["like"])) == len(board["like"]) for board in boards)
    assert not any(set(board["like"]) & set(board.get("dislike", [])) for board in boards)


def test_boards_use_every_option_sometimes(many: list[Call]) -> None:
    boards = bodies(of("board", many))

    for option in ("dislike", "filter", "diversity", "explain"):
        assert 0.1 < sum(option in board for board in boards) / len(boards) < 0.9


def test_filtered_board_expects_the_category_it_asks_for(many: list[Call]) -> None:
    for call in of("board", many):
        asked = wish_of(call).get("filter")
        if call.expected.condition is None:
            assert asked is None
        else:
            key, value = call.expected.condition
            assert asked == {"must": [{"key": key, "match": {"value": value}}]}


def test_bad_input_always_expects_a_refusal(many: list[Call]) -> None:
    for call in of("bad input", many):
        assert {status // 100 for status, _ in call.expected.problems} == {4}


def test_catalogue_without_attributes_is_never_filtered() -> None:
    plain = Catalogue(CATALOGUE.ids, None, ())

    assert not any("filter" in board for board in bodies(of("board", calls(500, plain))))


def test_catalogue_of_one_item_still_gives_boards() -> None:
    tiny = Catalogue(("only",), None, ())

    assert all(board["like"] == ["only"] for board in bodies(of("board", calls(300, tiny))))


def test_queries_are_distinct() -> None:
    assert len(QUERIES) >= 100
    assert len(set(QUERIES)) == len(QUERIES)
