"""What a product's backend asks for: shapes of requests, their mix, and how often what is asked.

Nothing here knows how a request is sent or when, so that a generator of another kind can send
the same traffic.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from urllib.parse import quote, urlencode

from loadtests.answers import Expected
from loadtests.catalogue import Catalogue
from loadtests.zipf import Zipf

SHARES = {"item page": 50, "search": 20, "board": 15, "home page": 10, "bad input": 5}
"""Requests of each scenario in a hundred."""

_EXPONENT = 1.0
_K = 20
_NO_SUCH_ID = "no-such-item-0e1f"
# People who do not find it add a word; this is the tail that no cache holds.
_ENDINGS = ("", " ideas", " diy", " for beginners", " cheap", " 2026")


@dataclass(frozen=True, slots=True)
class Call:
    """One request, ready to send, and what its answer must be like."""

    scenario: str
    method: str
    path: str
    body: bytes | None
    expected: Expected


def read_queries(path: Path) -> tuple[str, ...]:
    """Read one query a line, most popular first; lines that start with # are comments."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return tuple(line for line in lines if line and not line.startswith("#"))


class Traffic:
    """An endless stream of requests of one visitor; the same again for the same chance."""

    def __init__(self, catalogue: Catalogue, queries: Sequence[str], chance: Random) -> None:
        self._catalogue = catalogue
        self._queries = [query + ending for ending in _ENDINGS for query in queries]
        self._chance = chance
        self._popular_ids = Zipf(len(catalogue.ids), _EXPONENT)
        self._popular_queries = Zipf(len(self._queries), _EXPONENT)
        self._popular_values = Zipf(max(len(catalogue.filter_values), 1), _EXPONENT)
        self._shapes = {
            "item page": self._item_page,
            "search": self._search,
            "board": self._board,
            "home page": self._home_page,
            "bad input": self._bad_input,
        }

    def next_call(self) -> Call:
        """Draw a scenario by its share, and one request of it."""
        (scenario,) = self._chance.choices(tuple(SHARES), tuple(SHARES.values()))
        return self._shapes[scenario]()

    def _item_page(self) -> Call:
        seed = self._catalogue.ids[self._popular_ids.draw(self._chance)]
        path = f"/items/{quote(seed, safe='')}/similar?k={_K}"
        expected = Expected(source="similar", k=_K, hidden=frozenset([seed]))
        return Call("item page", "GET", path, None, expected)

    def _search(self) -> Call:
        text = self._queries[self._popular_queries.draw(self._chance)]
        path = f"/search?{urlencode({'q': text, 'k': _K})}"
        return Call("search", "GET", path, None, Expected(source="search", k=_K))

    def _board(self) -> Call:
        """3 to 10 saved items; every few boards with something disliked, filtered or mixed up."""
        chance = self._chance
        disliked_count = chance.choice((0, 0, 0, 1, 2))
        drawn = self._ids(chance.randint(3, 10) + disliked_count)
        # In a tiny catalogue there may be nothing left to dislike.
        split = max(1, len(drawn) - disliked_count)
        wish: dict[str, object] = {"like": drawn[:split], "k": _K}
        if drawn[split:]:
            wish["dislike"] = drawn[split:]
        condition = self._condition() if chance.random() < 0.4 else None
        if condition is not None:
            key, value = condition
            wish["filter"] = {"must": [{"key": key, "match": {"value": value}}]}
        diversity = chance.choice((0.0, 0.0, 0.3, 0.6))
        if diversity:
            wish["diversity"] = diversity
        if chance.random() < 0.5:
            wish["explain"] = True
        expected = Expected(
            source="similar",
            k=_K,
            hidden=frozenset(drawn),
            condition=condition,
            is_ranked=not diversity,
        )
        return _recommend("board", wish, expected)

    def _home_page(self) -> Call:
        """A visitor nobody knows."""
        return _recommend("home page", {}, Expected(source="fallback", k=_K))

    def _bad_input(self) -> Call:
        """What broken clients send. Each has its one right refusal; anything else is a failure."""
        invalid = frozenset([(422, "invalid_request")])
        kind = self._chance.randrange(6)
        if kind == 0:
            unknown = Expected(problems=frozenset([(404, "item_not_found")]))
            return Call("bad input", "GET", f"/items/{_NO_SUCH_ID}/similar", None, unknown)
        if kind == 1:
            return Call("bad input", "GET", "/search?q=", None, Expected(problems=invalid))
        if kind == 2:
            broken = Expected(problems=frozenset([(400, "invalid_json")]))
            return Call("bad input", "POST", "/recommend", b'{"like": ["a"', broken)
        if kind == 3:
            wish: dict[str, object] = {
                "filter": {"must": [{"key": "no such", "match": {"value": 1}}]}
            }
            unknown_key = frozenset([(422, "invalid_filter")])
            return _recommend("bad input", wish, Expected(problems=unknown_key))
        wish = {"k": 0} if kind == 4 else {"like": 17}
        return _recommend("bad input", wish, Expected(problems=invalid))

    def _ids(self, count: int) -> list[str]:
        ranks = self._popular_ids.draw_distinct(self._chance, count)
        return [self._catalogue.ids[rank] for rank in ranks]

    def _condition(self) -> tuple[str, str] | None:
        if self._catalogue.filter_key is None:
            return None
        value = self._catalogue.filter_values[self._popular_values.draw(self._chance)]
        return self._catalogue.filter_key, value


def _recommend(scenario: str, wish: dict[str, object], expected: Expected) -> Call:
    return Call(scenario, "POST", "/recommend", json.dumps(wish).encode(), expected)
