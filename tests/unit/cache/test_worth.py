from service.cache.keys import cache_key
from service.cache.worth import BREAK_EVEN_SHARE, Worth

KEYS = [cache_key("question", str(number)) for number in range(4_000)]
KEY = next(key for key in KEYS if not key.endswith(b"0"))


def test_kind_that_was_never_answered_is_worth_a_trip() -> None:
    assert Worth(0.001).is_dear("new", KEY)


def test_kind_is_worth_a_trip_if_it_typically_costs_more() -> None:
    worth = Worth(0.001)
    for _ in range(50):
        worth.note("search", 0.0002)
        worth.note("text", 0.004)
    assert (worth.is_dear("search", KEY), worth.is_dear("text", KEY)) == (False, True)
    assert worth.skipped == 1


def test_one_slow_answer_does_not_make_a_kind_dear() -> None:
    worth = Worth(0.001)
    for _ in range(50):
        worth.note("search", 0.0008)
    worth.note("search", 5.0)
    assert not worth.is_dear("search", KEY)


def test_choice_follows_a_catalogue_that_grows() -> None:
    worth = Worth(0.001)
    for _ in range(50):
        worth.note("search", 0.0002)
    for _ in range(50):
        worth.note("search", 0.002)
    assert worth.is_dear("search", KEY)


def test_nothing_is_too_cheap_where_the_bound_is_zero() -> None:
    worth = Worth(0.0)
    worth.note("search", 0.0)
    assert worth.is_dear("search", KEY)


def told(worth: Worth, kind: str, cost_s: float, found: float) -> None:
    """Have a thousand questions of a kind answered, of which Redis had a share."""
    for number in range(1_000):
        worth.note(kind, cost_s)
        worth.note_asked(kind, is_found=37 * number % 100 < 100 * found)


def asked(worth: Worth, kind: str) -> float:
    """The share of all questions that goes to Redis."""
    return sum(worth.is_dear(kind, key) for key in KEYS) / len(KEYS)


def test_what_redis_never_has_is_asked_for_in_a_sample_only() -> None:
    worth = Worth(0.0001)
    told(worth, "never repeated", 0.0005, 0.0)
    assert 0.04 < asked(worth, "never repeated") < 0.09
    assert worth.skipped > 0.9 * len(KEYS)


def test_the_dearer_a_question_the_fewer_have_to_be_found() -> None:
    worth = Worth(0.0001)
    told(worth, "item", 0.00015, 0.05)
    told(worth, "text", 0.004, 0.05)
    assert asked(worth, "item") < 0.1
    assert asked(worth, "text") == 1.0


def test_at_the_bound_a_kind_is_asked_for_where_redis_has_enough_of_it() -> None:
    worth = Worth(0.0001)
    told(worth, "more", 0.00012, BREAK_EVEN_SHARE + 0.1)
    told(worth, "less", 0.00012, BREAK_EVEN_SHARE - 0.1)
    assert asked(worth, "more") == 1.0
    assert asked(worth, "less") < 0.1


def test_a_kind_whose_questions_come_again_goes_to_redis_again() -> None:
    worth = Worth(0.0001)
    told(worth, "item", 0.0005, 0.0)
    # The sample finds them.
    for _ in range(10):
        worth.note_asked("item", is_found=True)
    assert asked(worth, "item") == 1.0


def test_no_kind_is_left_out_where_the_bound_is_zero() -> None:
    worth = Worth(0.0)
    told(worth, "never repeated", 0.0005, 0.0)
    assert asked(worth, "never repeated") == 1.0


def test_kinds_without_end_take_no_memory_without_end() -> None:
    worth = Worth(0.0001)
    for number in range(5_000):
        worth.note_asked(number, is_found=False)
    assert len(worth._shares) <= 1_024
