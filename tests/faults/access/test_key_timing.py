"""G51 by the clock: how long a wrong key takes does not depend on how wrong it is.

Time is measured, so it is for a machine that has nothing else to do: `make test-faults`.
"""

import math
import os
import random
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from service.access.key_file import KeyFile
from service.access.keyring import Keyring
from service.access.keys import new_key

EVERYTHING = os.environ.get("FAULTS") == "all"
PAIRS = 100_000
SUSPICIOUS = 4.5
"""|t| from which on a test for leaking code reports a leak (TVLA, ISO/IEC 17825)."""

Durations = NDArray[np.float64]


def welch_t(left: Durations, right: Durations) -> float:
    """How many standard errors two means lie apart, the variances being what they are."""
    error = left.var(ddof=1) / len(left) + right.var(ddof=1) / len(right)
    return float((left.mean() - right.mean()) / math.sqrt(error))


def time_both(
    verify: Callable[[bytes], object], pairs: Sequence[tuple[bytes, bytes]]
) -> tuple[Durations, Durations]:
    """Nanoseconds of both of each pair, in random order, less the tenth that was interrupted."""
    durations = np.empty((2, PAIRS))
    chance = random.Random(7)
    for turn in range(PAIRS):
        pair = pairs[chance.randrange(len(pairs))]
        first = chance.getrandbits(1)
        for which in (first, 1 - first):
            # Copied, so that both lie in the same warm place: a key comes from a buffer just read.
            presented = bytes(bytearray(pair[which]))
            started = time.perf_counter_ns()
            verify(presented)
            durations[which, turn] = time.perf_counter_ns() - started
    limit = np.quantile(durations, 0.9)
    return durations[0][durations[0] <= limit], durations[1][durations[1] <= limit]


def wrong_pairs(right: bytes, count: int) -> list[tuple[bytes, bytes]]:
    """Keys that are wrong from their first character on, beside ones wrong in the last alone."""
    chance = random.Random(3)
    prefix, _, secret = right.rpartition(b"_")
    letters = b"ghijklmnopqrstuvwxyz"
    pairs = []
    for _ in range(count):
        foreign = bytes(chance.choices(letters, k=len(secret)))
        pairs.append((prefix + b"_" + foreign, prefix + b"_" + secret[:-1] + foreign[:1]))
    return pairs


def test_welch_tells_two_means_from_one() -> None:
    chance = np.random.default_rng(5)
    same = [chance.normal(2000, 100, 50_000) for _ in range(2)]
    assert abs(welch_t(*same)) < SUSPICIOUS
    assert abs(welch_t(same[0], same[1] + 5)) > SUSPICIOUS


@pytest.mark.skipif(not EVERYTHING, reason="measures time; FAULTS=all (make test-faults) runs it")
def test_time_tells_nothing_of_how_much_of_a_key_is_right(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "keys.json"
    file = KeyFile.new()
    now = datetime(2026, 11, 25, tzinfo=UTC)
    made, secret = new_key("shop", "read", None, pepper=file.pepper, now=now)
    file.with_key(made).write(path)
    ring, right = Keyring(path), secret.encode()
    pairs = wrong_pairs(right, 50)
    found = welch_t(*time_both(ring.verify, pairs))
    # The comparison that nobody should write, on the same keys: the measurement must catch it.
    control = welch_t(*time_both(lambda presented: starts_like(presented, right), pairs))
    with capsys.disabled():
        print(f"\nWelch's t of {PAIRS:,} pairs: {found:.2f}; of a naive comparison: {control:.0f}")  # noqa: T201
    assert abs(control) > SUSPICIOUS
    assert abs(found) < SUSPICIOUS


def starts_like(presented: bytes, expected: bytes) -> bool:
    return all(given == wanted for given, wanted in zip(presented, expected, strict=True))
