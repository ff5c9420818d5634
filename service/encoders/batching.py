"""Batches for a CPU: texts of like length together, few tokens at a time."""

from collections.abc import Iterator, Sequence

import numpy as np

from service.types import Rows


def length_sorted_batches(lengths: Sequence[int], *, token_budget: int) -> Iterator[Rows]:
    """Group texts so that a batch, padded to its longest, holds at most `token_budget` tokens.

    A text longer than the budget forms a batch of its own. Ties keep the caller's order, so
    the same lengths always give the same batches.

    Args:
        lengths: tokens of each text, in the caller's order.
        token_budget: tokens in a batch, padding included.

    Yields:
        int64 positions in `lengths`, shortest texts first; every position exactly once.

    Raises:
        ValueError: the budget is not positive.
    """
    if token_budget < 1:
        raise ValueError(f"token_budget must be positive, not {token_budget}")
    order = np.argsort(np.asarray(lengths, dtype=np.int64), kind="stable")
    start = 0
    for stop in range(1, len(order) + 1):
        is_last = stop == len(order)
        if is_last or (stop - start + 1) * lengths[order[stop]] > token_budget:
            yield order[start:stop].astype(np.int64, copy=False)
            start = stop
