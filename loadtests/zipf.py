"""Popularity as it is: a few things are asked for all the time, most of them hardly ever."""

from bisect import bisect
from itertools import accumulate
from random import Random


class Zipf:
    """Draws ranks 0 .. size-1, rank r with a probability proportional to 1 / (r + 1) ** exponent.

    Args:
        size: how many ranks, at least 1.
        exponent: 0.0 is uniform; about 1.0 is what product pages and search terms show.

    Raises:
        ValueError: size below 1, or a negative exponent.

    Source: Breslau et al., "Web caching and Zipf-like distributions", INFOCOM 1999.
    """

    def __init__(self, size: int, exponent: float = 1.0) -> None:
        if size < 1:
            raise ValueError(f"size must be at least 1, got {size}")
        if exponent < 0:
            raise ValueError(f"exponent must not be negative, got {exponent}")
        self._cumulative = list(accumulate((rank + 1) ** -exponent for rank in range(size)))

    def __len__(self) -> int:
        return len(self._cumulative)

    def draw(self, chance: Random) -> int:
        """Draw one rank."""
        point = chance.random() * self._cumulative[-1]
        # Rounding may put the point on the very end, one past the last rank.
        return min(bisect(self._cumulative, point), len(self) - 1)

    def draw_distinct(self, chance: Random, count: int) -> list[int]:
        """Draw different ranks, in order of drawing; all of them if there are fewer than count."""
        drawn: dict[int, None] = {}
        while len(drawn) < min(count, len(self)):
            drawn[self.draw(chance)] = None
        return list(drawn)
