"""When requests were due, when they left, and what came back: one row a request."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

import numpy as np
from numpy.typing import NDArray


def poisson(rate: float, seconds: float, chance: Random) -> list[float]:
    """Draw the arrival times of independent callers.

    Args:
        rate: mean arrivals a second.
        seconds: how long.
        chance: decides the gaps.

    Returns:
        Seconds after the start, ascending.
    """
    due: list[float] = []
    at = chance.expovariate(rate)
    while at < seconds:
        due.append(at)
        at += chance.expovariate(rate)
    return due


def steady(rate: float, seconds: float) -> list[float]:
    """Arrival times at equal distances, in seconds after the start."""
    return [shot / rate for shot in range(int(rate * seconds))]


@dataclass(frozen=True, slots=True)
class Shots:
    """What became of the requests of one run, in the order in which they were due.

    `due_s` is when a request should have left, after the start; `late_s` how much later it did;
    `latency_s` the time from when it was **due** to the end of its answer, so that a stall counts
    against every request that should have been sent meanwhile; `status` the answer's status code,
    0 where no answer came. Arrays of one length.
    """

    due_s: NDArray[np.float64]
    late_s: NDArray[np.float64]
    latency_s: NDArray[np.float64]
    status: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.due_s)

    def between(self, from_s: float, to_s: float) -> "Shots":
        """The requests that were due in a part of the run, from_s included."""
        return self._where((self.due_s >= from_s) & (self.due_s < to_s))

    def every(self, step: int, first: int) -> "Shots":
        """Each `step`-th request in the order in which they were due, from number `first` on."""
        return self._where(np.arange(len(self)) % step == first)

    def with_status(self, statuses: Sequence[int]) -> "Shots":
        """The requests that were answered with one of these codes."""
        return self._where(np.isin(self.status, statuses))

    def statuses(self) -> dict[int, int]:
        """How often each code came back; 0 is no answer."""
        codes, counts = np.unique(self.status, return_counts=True)
        return dict(zip(codes.tolist(), counts.tolist(), strict=True))

    def latency_ms(self, share: float) -> float:
        """The latency that `share` of the requests do not exceed; NaN of none."""
        return _percentile(self.latency_s, share) * 1e3

    def late_ms(self, share: float) -> float:
        """The delay of sending that `share` do not exceed: the generator's own fault."""
        return _percentile(self.late_s, share) * 1e3

    def good(self, within_s: float) -> int:
        """Requests answered with 200 within this time of when they were due."""
        return int(((self.status == 200) & (self.latency_s <= within_s)).sum())

    def _where(self, chosen: NDArray[np.bool_]) -> "Shots":
        return Shots(
            self.due_s[chosen], self.late_s[chosen], self.latency_s[chosen], self.status[chosen]
        )


def _percentile(values: NDArray[np.float64], share: float) -> float:
    if not len(values):
        return float("nan")
    return float(np.quantile(values, share, method="inverted_cdf"))
