"""G55: two questions never share the name of an answer, whatever their ids and texts hold."""

import os
import random
from dataclasses import replace
from pathlib import Path

import pytest

from service.api.cursor import Cursors
from service.api.question import Question, answer_key, read_question
from service.index.publish import current_version
from service.index.shelf import Shelf
from service.index.snapshot import open_snapshot
from service.types import (
    Boost,
    Cap,
    Condition,
    Filter,
    ItemId,
    Match,
    Promotion,
    Query,
    Range,
    Scalar,
    Seed,
)

QUESTIONS = 1_000_000 if os.environ.get("FAULTS") == "all" else 20_000
# What separators, escapes, globs, hash tags and types of other formats are made of.
TEXTS = [
    "a", "b", "ab", "a:b", "b:c", ":", "*", "a*", "{a}", "a}b", "a\r\nb", "\r", "\n", '"', '\\"',
    "a,b", "[", "]", "null", "true", "1", "1.0", " ", "a ", "\u0000", "\u2028", "\u00e9",
    "e\u0301", "狗",
    "x" * 500, "x" * 499 + "y",
]  # fmt: skip
SCALARS: list[Scalar] = ["1", 1, 1.0, True, "true", False, 0, "", "null", -0.0]


class Asker:
    """Makes up questions, many of them nearly the same."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)

    def text(self) -> str:
        return "".join(self._chance.choices(TEXTS, k=self._chance.choice([1, 1, 2])))

    def ids(self) -> tuple[ItemId, ...]:
        return tuple(ItemId(self.text()) for _ in range(self._chance.choice([0, 1, 2])))

    def seeds(self) -> tuple[Seed, ...]:
        return tuple(Seed(each, self._chance.choice([1.0, 2.0, 0.1])) for each in self.ids())

    def condition(self) -> Condition:
        if self._chance.random() < 0.3:
            return Range(self.text(), *self._chance.choices([None, 0.0, 1.0, 1e-300], k=4))
        return Match(
            self.text(), tuple(self._chance.choices(SCALARS, k=self._chance.choice([1, 2])))
        )

    def filter(self) -> Filter:
        parts: dict[str, tuple[Condition, ...]] = {}
        if self._chance.random() < 0.4:
            part = self._chance.choice(["must", "should", "must_not"])
            parts[part] = tuple(self.condition() for _ in range(self._chance.choice([1, 2])))
        return Filter(**parts)

    def question(self) -> Question:
        pick = self._chance.choice
        query = Query(
            like=self.seeds(),
            dislike=self.seeds(),
            text=pick([None, self.text()]),
            strategy=pick([None, "average_vector", "best_score"]),
            k=pick([1, 2, 20]),
            filter=self.filter(),
            exclude=self.ids(),
            among=pick([None, (), self.ids()]),
            min_score=pick([None, 0.0, 0.5]),
            diversity=pick([0.0, 0.2]),
            limit_per=pick([(), (Cap(self.text(), 2),)]),
            boost=pick([(), (Boost(self.filter(), 0.1),)]),
            promoted=pick([None, Promotion(self.filter(), 0.2)]),
            near_duplicates=pick([False, True]),
            explain=pick([False, True]),
            fields=pick([None, (), (self.text(),)]),
        )
        return Question(query)


@pytest.fixture(scope="module")
def shelf(pins_indexes: Path) -> Shelf:
    version = current_version(pins_indexes, "pins")
    return Shelf.of_snapshot(open_snapshot(pins_indexes / "pins" / version))


def name_of(question: Question, shelf: Shelf) -> bytes:
    return answer_key(read_question(question, Cursors(None), shelf), None, shelf)


def test_no_two_questions_of_many_share_a_name(shelf: Shelf) -> None:
    asker = Asker(11)
    # repr writes every field with its type, so it differs where questions do.
    named: dict[bytes, int] = {}
    spelled = set()
    for _ in range(QUESTIONS):
        question = asker.question()
        spelling = hash(repr(question.query))
        spelled.add(spelling)
        assert named.setdefault(name_of(question, shelf), spelling) == spelling, question
    assert len(named) == len(spelled) > QUESTIONS * 0.9


def liking(*ids: str) -> Query:
    return Query(like=tuple(Seed(ItemId(each)) for each in ids))


def matching(value: str | int | bool) -> Query:
    return Query(filter=Filter(must=(Match("a", (value,)),)))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (liking("a:b", "c"), liking("a", "b:c")),
        (liking("a"), Query(dislike=(Seed(ItemId("a")),))),
        (liking("a"), Query(text="a")),
        (matching(1), matching(True)),
        (matching(1), matching("1")),
        (Query(exclude=()), Query(exclude=(ItemId(""),))),
        (Query(among=None), Query(among=())),
        (Query(fields=None), Query(fields=())),
    ],
)
def test_questions_that_look_alike_have_names_of_their_own(
    shelf: Shelf, one: Query, other: Query
) -> None:
    assert name_of(Question(one), shelf) != name_of(Question(other), shelf)


def test_the_version_its_changes_and_the_page_are_part_of_the_name(shelf: Shelf) -> None:
    task = read_question(Question(Query(text="bread")), Cursors(None), shelf)
    changed = replace(shelf, revision="1.0")
    names = {
        answer_key(task, None, shelf),
        answer_key(task, "cursor", shelf),
        answer_key(task, None, changed),
    }
    assert len(names) == 3
