import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.cache.lifetimes import Lifetimes


@pytest.mark.parametrize(("chance", "ttl_s"), [(0.0, 60.0), (0.5, 57.0), (0.999, 54.006)])
def test_life_of_a_value_is_shortened_by_chance(chance: float, ttl_s: float) -> None:
    assert Lifetimes(60.0, chance=lambda: chance).draw() == pytest.approx(ttl_s)


@settings(deadline=None)
@given(
    ttl_s=st.floats(0.1, 1e6),
    share=st.floats(0.001, 1.0),
    cost_s=st.floats(0.0, 1e4),
    chance=st.floats(0.0, 1.0, exclude_max=True),
)
def test_refresh_comes_after_half_the_life_and_before_its_end(
    ttl_s: float, share: float, cost_s: float, chance: float
) -> None:
    left_s = ttl_s * share
    refresh_in_s = Lifetimes(ttl_s, chance=lambda: chance).refresh_in(left_s, cost_s)
    assert left_s / 2 <= refresh_in_s < left_s


def test_dear_value_is_made_anew_earlier_than_a_cheap_one() -> None:
    lifetimes = Lifetimes(100.0, chance=lambda: 0.5)
    assert lifetimes.refresh_in(100.0, cost_s=10.0) < lifetimes.refresh_in(100.0, cost_s=0.001)


def test_processes_that_got_a_value_together_refresh_it_apart() -> None:
    chance = random.Random(3)
    drawn = [Lifetimes(100.0, chance=chance.random).refresh_in(100.0, 0.0) for _ in range(1000)]
    assert 97.5 < sum(drawn) / len(drawn) < 98.5
    assert len({round(moment, 2) for moment in drawn}) > 200


def test_value_is_young_in_the_first_half_of_its_life() -> None:
    lifetimes = Lifetimes(100.0)
    assert (lifetimes.is_young(51.0), lifetimes.is_young(50.0)) == (True, False)
