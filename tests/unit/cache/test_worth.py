from service.cache.worth import Worth


def test_kind_that_was_never_answered_is_worth_a_trip() -> None:
    assert Worth(0.001).is_dear("new")


def test_kind_is_worth_a_trip_if_it_typically_costs_more() -> None:
    worth = Worth(0.001)
    for _ in range(50):
        worth.note("search", 0.0002)
        worth.note("text", 0.004)
    assert (worth.is_dear("search"), worth.is_dear("text")) == (False, True)
    assert worth.skipped == 1


def test_one_slow_answer_does_not_make_a_kind_dear() -> None:
    worth = Worth(0.001)
    for _ in range(50):
        worth.note("search", 0.0008)
    worth.note("search", 5.0)
    assert not worth.is_dear("search")


def test_choice_follows_a_catalogue_that_grows() -> None:
    worth = Worth(0.001)
    for _ in range(50):
        worth.note("search", 0.0002)
    for _ in range(50):
        worth.note("search", 0.002)
    assert worth.is_dear("search")


def test_nothing_is_too_cheap_where_the_bound_is_zero() -> None:
    worth = Worth(0.0)
    worth.note("search", 0.0)
    assert worth.is_dear("search")
