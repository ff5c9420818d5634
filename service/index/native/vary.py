"""What the compiled library does with the vectors of one list, where `is_compiled`."""

from functools import lru_cache

import numpy as np

from service.index.native.calls import Function, address, function
from service.index.native.library import open_library
from service.types import Rows, Scores, Vectors


def pick(
    vectors: Vectors,
    scores: Scores,
    share: float,
    probe: float,
    weight: float,
    window: int,
    wanted: int,
) -> Rows:
    """Pick candidates by `share` of their score, and `weight` of what earlier picks do not cover.

    Args:
        vectors: float32 (n + m, dim), C order; the last m were picked before, the oldest first.
        scores: float32 (n,).
        share: of a score as a cosine.
        probe: length of what the scores are inner products with; 0 where it is as long as a
            candidate is on average.
        weight: of what is left of a unit vector outside the span of the last picks.
        window: how many picks that are.
        wanted: how many, at most n.

    Returns:
        int64 (wanted,), places in `scores`.

    Raises:
        MemoryError: there is none left.
    """
    picks = np.empty(wanted, np.int64)
    count, (every, dim) = len(scores), vectors.shape
    given = address(vectors), count, every - count, dim, address(scores)
    if _functions()[0](*given, share, probe, weight, window, wanted, address(picks)):
        raise MemoryError("no memory for a list")
    return picks


def has_like(vectors: Vectors, limit: float) -> bool:
    """Tell whether two rows side by side have a cosine above a limit.

    Args:
        vectors: float32 (n, dim), C order.
        limit: the cosine.
    """
    count, dim = vectors.shape
    return bool(_functions()[1](address(vectors), count, dim, limit))


@lru_cache(maxsize=1)
def _functions() -> tuple[Function, Function]:
    library = open_library()
    assert library is not None, "see is_compiled"
    return (
        function(library, "magpie_vary", "pqqqpfffqqp"),
        function(library, "magpie_has_like", "pqqf"),
    )
