"""How much passes in a minute, on a clock that the test turns."""

import math
import random
from datetime import UTC, datetime

import pytest

from service.access.keys import Key
from service.access.limiter import Limiter
from service.access.rate import Rate

MINUTE_S = 60.0


class Clock:
    def __init__(self) -> None:
        self.now = 1_764_028_800.25

    def __call__(self) -> float:
        return self.now


class Counters:
    """A ledger in memory, that can be out of reach."""

    def __init__(self) -> None:
        self.totals: dict[bytes, int] = {}
        self.is_reached = True
        self.asked = 0

    async def count(self, key: bytes, amount: int, life_s: int) -> int | None:
        self.asked += 1
        if not self.is_reached:
            return None
        self.totals[key] = self.totals.get(key, 0) + amount
        return self.totals[key]


def key(rate: str | None, key_id: str = "00000001") -> Key:
    parsed = None if rate is None else Rate.parse(rate)
    return Key(key_id, "shop", "read", b"", parsed, datetime(2026, 11, 25, tzinfo=UTC))


async def passed(
    limiters: list[Limiter],
    clock: Clock,
    asking: Key,
    *,
    per_s: float,
    weights: list[float],
    seconds: float = MINUTE_S,
) -> int:
    """Let arrivals come by chance, spread over processes; count those that pass."""
    chance = random.Random(11)
    count, end = 0, clock.now + seconds
    while True:
        clock.now += chance.expovariate(per_s)
        if clock.now > end:
            return count
        limiter = chance.choices(limiters, weights)[0]
        count += await limiter.wait_s(asking) == 0.0


@pytest.mark.parametrize("rate", ["20/s", "200/s", "3000/m", "36000/h"])
@pytest.mark.parametrize("load", [2.0, 5.0])
@pytest.mark.parametrize(
    "weights", [[1.0], [1.0, 1.0], [0.97, 0.01, 0.01, 0.01]], ids=["one", "even", "uneven"]
)
async def test_twice_a_quota_and_more_passes_as_the_quota_over_all_processes(
    rate: str, load: float, weights: list[float]
) -> None:
    clock, ledger = Clock(), Counters()
    limiters = [Limiter(len(weights), ledger, clock=clock) for _ in weights]
    quota = Rate.parse(rate).per_s
    count = await passed(limiters, clock, key(rate), per_s=load * quota, weights=weights)
    assert count == pytest.approx(quota * MINUTE_S, rel=0.05)


@pytest.mark.parametrize("rate", ["100/s", "1000/s"])
async def test_the_ledger_is_asked_twenty_times_a_window_and_not_once_a_request(rate: str) -> None:
    clock, ledger = Clock(), Counters()
    per_s = Rate.parse(rate).per_s
    limiters = [Limiter(2, ledger, clock=clock) for _ in range(2)]
    await passed(limiters, clock, key(rate), per_s=2 * per_s, weights=[1, 1])
    assert ledger.asked <= 22 * (MINUTE_S + 1) + 2 * (MINUTE_S + 1)


@pytest.mark.parametrize("workers", [1, 4])
async def test_without_a_ledger_each_process_grants_its_part(workers: int) -> None:
    clock = Clock()
    limiters = [Limiter(workers, None, clock=clock) for _ in range(workers)]
    count = await passed(limiters, clock, key("100/s"), per_s=200, weights=[1.0] * workers)
    assert count == pytest.approx(6000, rel=0.05)


async def test_a_lost_ledger_leaves_the_part_of_the_process_and_comes_back() -> None:
    clock, ledger = Clock(), Counters()
    limiters = [Limiter(4, ledger, clock=clock) for _ in range(4)]
    asking = key("100/s")
    await passed(limiters, clock, asking, per_s=400, weights=[1] * 4, seconds=10)
    assert not any(limiter.is_alone(asking) for limiter in limiters)
    ledger.is_reached = False
    count = await passed(limiters, clock, asking, per_s=400, weights=[1] * 4)
    assert count == pytest.approx(6000, rel=0.05)
    assert all(limiter.is_alone(asking) for limiter in limiters)
    ledger.is_reached = True
    count = await passed(limiters, clock, asking, per_s=400, weights=[1] * 4)
    assert count == pytest.approx(6000, rel=0.05)
    assert not any(limiter.is_alone(asking) for limiter in limiters)


@pytest.mark.parametrize("shared", [True, False])
async def test_half_a_quota_passes_whole(shared: bool) -> None:
    clock = Clock()
    limiter = Limiter(1, Counters() if shared else None, clock=clock)
    refused = 0
    for _ in range(int(50 * MINUTE_S)):
        clock.now += 1 / 50
        refused += await limiter.wait_s(key("100/s")) > 0
    assert refused == 0


@pytest.mark.parametrize("shared", [True, False])
async def test_one_key_does_not_spend_what_another_may(shared: bool) -> None:
    clock = Clock()
    limiter = Limiter(1, Counters() if shared else None, clock=clock)
    while await limiter.wait_s(key("10/s")) == 0:
        pass
    other = key("10/s", "00000002")
    assert [await limiter.wait_s(other) for _ in range(10)] == [0.0] * 10
    assert await limiter.wait_s(other) > 0
    assert [await limiter.wait_s(key(None)) for _ in range(1000)] == [0.0] * 1000


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("rate", ["1/s", "1/m", "7/m", "10/s", "1/h"])
async def test_a_told_wait_is_long_enough_and_not_far_too_long(shared: bool, rate: str) -> None:
    clock = Clock()
    limiter = Limiter(1, Counters() if shared else None, clock=clock)
    for _ in range(50):
        while (wait_s := await limiter.wait_s(key(rate))) == 0:
            pass
        assert 0 < wait_s <= max(Rate.parse(rate).window_s, 1)
        clock.now += math.ceil(wait_s)  # as a client is told
        assert await limiter.wait_s(key(rate)) == 0


@pytest.mark.parametrize("shared", [True, False])
async def test_a_request_of_many_questions_spends_many(shared: bool) -> None:
    clock = Clock()
    limiter = Limiter(1, Counters() if shared else None, clock=clock)
    count = 0
    end = clock.now + MINUTE_S
    while clock.now < end:
        clock.now += 0.1
        if await limiter.wait_s(key("100/s"), 30) == 0:
            count += 30
    assert count == pytest.approx(6000, rel=0.05)


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("rate", ["1/s", "50/s", "100/s", "500/s"])
async def test_a_batch_passes_at_every_rate_and_spends_what_it_holds(
    shared: bool, rate: str
) -> None:
    clock = Clock()
    limiter = Limiter(1, Counters() if shared else None, clock=clock)
    asking, held, passed_ = key(rate), 60, 0
    end = clock.now + 10 * MINUTE_S
    while clock.now < end:
        clock.now += 0.5
        is_in = await limiter.wait_s(asking) == 0
        if is_in and await limiter.wait_s(asking, held - 1, is_further=True) == 0:
            passed_ += held
    quota = Rate.parse(rate).per_s * 10 * MINUTE_S
    # What was refused had spent one, and the last one may owe what it holds.
    assert min(quota, 2 * held * 10 * MINUTE_S) * 0.5 <= passed_ <= quota * 1.05 + held
