"""The list for nobody in particular: what is shown when there is nothing to go by."""

from service.types import Mask, Rows


def newest(order: Rows, k: int, allowed: Mask | None, hidden: set[int]) -> list[int]:
    """Take the first k permitted rows of the catalogue's own order, newest first.

    Args:
        order: int64 (n_items,), all rows, newest first.
        k: how many are wanted.
        allowed: bool (n_items,), or None for all.
        hidden: rows never to return.
    """
    permitted = order if allowed is None else order[allowed[order]]
    chosen: list[int] = []
    for row in permitted[: k + len(hidden)]:
        if int(row) not in hidden:
            chosen.append(int(row))
    return chosen[:k]
