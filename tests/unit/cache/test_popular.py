import random
from collections import Counter

from service.cache.popular import Popular


def note(popular: Popular[str], question: str) -> None:
    popular.note(question.encode(), question, b"key of " + question.encode())


def test_most_frequent_questions_come_first() -> None:
    popular: Popular[str] = Popular(10)
    for question in ["a", "b", "b", "c", "c", "c"]:
        note(popular, question)
    assert popular.most(2) == ["c", "b"]
    assert popular.most(9) == ["c", "b", "a"]


def test_repeat_is_counted_by_the_key_of_its_answer() -> None:
    popular: Popular[str] = Popular(10)
    for question in ["a", "a", "b"]:
        note(popular, question)
    for _ in range(2):
        popular.again(b"key of b")
    popular.again(b"unknown")
    assert popular.most(1) == ["b"]


def test_frequent_questions_stay_in_a_long_stream_of_rare_ones() -> None:
    """Each that makes up more than one in `size` of the stream, whatever the order."""
    chance = random.Random(5)
    frequent = [f"frequent {number}" for number in range(10)]
    stream = [question for question in frequent for _ in range(200)]
    stream += [f"rare {number}" for number in range(18_000)]
    chance.shuffle(stream)
    popular: Popular[str] = Popular(100 + 1)
    for question in stream:
        note(popular, question)
        assert len(popular) <= 101
    assert Counter(stream)["frequent 0"] * 100 >= len(stream)
    assert set(popular.most(10)) == set(frequent)


def test_what_was_asked_long_ago_weighs_less() -> None:
    popular: Popular[str] = Popular(10)
    for question in ["old"] * 9 + ["rare"]:
        note(popular, question)
    for _ in range(2):
        popular.fade()
    for _ in range(3):
        note(popular, "new")
    assert popular.most(3) == ["new", "old"]


def test_keys_of_answers_are_bounded() -> None:
    popular: Popular[str] = Popular(2)
    for number in range(1000):
        popular.note(b"a", "a", b"key %d" % number)
    popular.again(b"key 0")
    assert popular.most(1) == ["a"]
    assert len(popular._by_key) <= 8


def test_nothing_is_counted_where_there_is_no_room() -> None:
    popular: Popular[str] = Popular(0)
    note(popular, "a")
    popular.again(b"key of a")
    assert popular.most(5) == []
