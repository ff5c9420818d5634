import pytest

from service.cache.typical_costs import TypicalCosts


def test_a_kind_costs_what_most_of_its_answers_cost() -> None:
    costs = TypicalCosts()
    assert costs.of("search") is None
    for number in range(300):
        costs.note("search", 5.0 if number % 10 == 0 else 0.001)
    assert costs.of("search") == pytest.approx(0.001, rel=0.2)


def test_kinds_are_bounded() -> None:
    costs = TypicalCosts()
    for number in range(5_000):
        costs.note(number, 0.1)
    assert sum(costs.of(number) is not None for number in range(5_000)) == 1024
