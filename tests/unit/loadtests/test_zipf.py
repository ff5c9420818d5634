from collections import Counter
from random import Random

import pytest

from loadtests.zipf import Zipf


def test_rank_frequencies_follow_the_law() -> None:
    zipf = Zipf(100, 1.0)
    chance = Random(1)

    counts = Counter(zipf.draw(chance) for _ in range(50_000))

    harmonic = sum(1 / rank for rank in range(1, 101))
    for rank in (0, 1, 4, 19):
        assert counts[rank] / 50_000 == pytest.approx(1 / ((rank + 1) * harmonic), rel=0.15)


def test_exponent_zero_is_uniform() -> None:
    zipf = Zipf(4, 0.0)
    chance = Random(2)

    counts = Counter(zipf.draw(chance) for _ in range(20_000))

    assert all(count / 20_000 == pytest.approx(0.25, rel=0.1) for count in counts.values())


def test_every_draw_is_a_rank() -> None:
    zipf = Zipf(3)
    chance = Random(3)

    assert {zipf.draw(chance) for _ in range(1000)} == {0, 1, 2}


def test_the_same_chance_draws_the_same_again() -> None:
    zipf = Zipf(1000)

    assert [zipf.draw(Random(7)) for _ in range(5)] == [zipf.draw(Random(7)) for _ in range(5)]


def test_distinct_draws_do_not_repeat() -> None:
    assert len(set(Zipf(12).draw_distinct(Random(4), 10))) == 10


def test_distinct_draws_of_a_small_set_are_all_of_it() -> None:
    assert sorted(Zipf(3).draw_distinct(Random(5), 10)) == [0, 1, 2]


@pytest.mark.parametrize(("size", "exponent"), [(0, 1.0), (5, -0.1)])
def test_impossible_distribution_is_refused(size: int, exponent: float) -> None:
    with pytest.raises(ValueError, match="must"):
        Zipf(size, exponent)
