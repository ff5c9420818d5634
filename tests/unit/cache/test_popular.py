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


def test_room_is_made_as_the_source_makes_it() -> None:
    """There all counts are changed at once; here nobody waits for that."""
    chance = random.Random(7)
    popular: Popular[str] = Popular(8)
    counts: Counter[str] = Counter()
    for _ in range(20_000):
        question = f"q{int(chance.paretovariate(0.7)) % 60}"
        note(popular, question)
        if question in counts or len(counts) < 8:
            counts[question] += 1
        else:
            counts = Counter({name: count - 1 for name, count in counts.items() if count > 1})
        assert len(popular) == len(counts)
        if chance.random() < 0.001:
            popular.fade()
            counts = Counter({name: count // 2 for name, count in counts.items() if count > 1})
        found = popular.most(8)
        assert [counts[each] for each in found] == sorted(counts.values(), reverse=True)


def test_repeats_of_what_counts_no_more_are_not_counted() -> None:
    popular: Popular[str] = Popular(1)
    note(popular, "a")
    note(popular, "b")
    popular.again(b"key of a")
    assert popular.most(1) == []
    note(popular, "a")
    popular.again(b"key of a")
    assert popular.most(1) == ["a"]


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
    assert len(popular._by_key) == 1


def test_keys_of_what_is_dropped_are_dropped() -> None:
    popular: Popular[int] = Popular(3)
    for number in range(1000):
        popular.note(b"%d" % number, number, b"key %d" % number)
    assert len(popular._by_key) <= 3


def test_nothing_is_counted_where_there_is_no_room() -> None:
    popular: Popular[str] = Popular(0)
    note(popular, "a")
    popular.again(b"key of a")
    assert popular.most(5) == []
