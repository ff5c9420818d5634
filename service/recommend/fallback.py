"""The list for nobody in particular: what is shown when there is nothing to go by."""

from service.types import Mask, Rows


def newest(order: Rows, count: int, allowed: Mask | None) -> Rows:
    """Take the first permitted rows of the catalogue's own order, newest first.

    Args:
        order: int64 (n_items,), rows that may be shown, newest first.
        count: how many are wanted.
        allowed: bool (n_items,), or None for all.
    """
    return order[:count] if allowed is None else order[allowed[order]][:count]
