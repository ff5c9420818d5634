"""What the best of several seeds says of what was found, and which seed says how much."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from service.index.native.library import is_compiled
from service.index.native.liking import largest_shares
from service.index.shelf import Shelf
from service.recommend.candidates import Found, permitted
from service.recommend.wishes import Wish
from service.types import Rows, Scores, Share, Vectors

SHARES_SHOWN: Final = 3
SMALLEST_SHARE: Final = 0.05


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """Rows by their scores, best first.

    Args:
        rows: int64 (n,), none twice.
        scores: float32 (n,), finite.
        unscored: how many are left out because they had no usable score.
        vectors: float32 (n, dim), where scoring took them; else None.
    """

    rows: Rows
    scores: Scores
    unscored: int = 0
    vectors: Vectors | None = None

    def down_to(self, least: float | None) -> "Scored":
        """Leave out what is below a score; None leaves out nothing."""
        if least is None:
            return self
        end = int(np.count_nonzero(self.scores >= np.float32(least)))
        vectors = None if self.vectors is None else self.vectors[:end]
        return Scored(self.rows[:end], self.scores[:end], self.unscored, vectors)


def liked(found: Found, hidden: Rows, wish: Wish, shelf: Shelf) -> Scored:
    """Score what was found by a wish that is not linear; of equals the lower row is first.

    Args:
        found: padded as a `Retriever` pads, a row may come more than once.
        hidden: int64, rows to leave out.
    """
    if shelf.liking is not None:
        likes, dislikes = (wish.parts, wish.weights), (wish.against, wish.against_weights)
        rows, scores, vectors, unscored = shelf.liking.best(found, hidden, likes, dislikes)
        return Scored(rows, scores, unscored, vectors)
    rows, scores, unscored = permitted(*found, hidden)
    rows = np.unique(rows)
    vectors = shelf.vectors(rows)
    scores = wish.scores(vectors)
    order = np.lexsort((rows, -scores))
    order = order[np.isfinite(scores[order])]
    return Scored(rows[order], scores[order], unscored + len(rows) - len(order), vectors[order])


def shares(wish: Wish, items: Vectors) -> list[tuple[Share, ...]]:
    """Split the scores of items among the positive parts of a wish, largest first.

    A part's share is its Shapley value in the score, over the sum of these. Where the score is a
    sum, that is its weight times its similarity to the item. Where the best part decides, parts
    that are equally near share evenly, and one that is far has next to nothing. Parts that pull
    the other way have none. At most three shares of at least 5 % are named.

    Args:
        wish: what was looked for.
        items: float32 (n, dim), the recommended items' vectors.

    Source: Littlechild and Owen, Management Science 1973, for the maximum ("airport game").
    """
    if not len(wish.parts):
        return [()] * len(items)
    parts, sizes, ends = (_compiled if is_compiled() else _in_numpy)(wish, items)
    named = list(map(Share, [wish.ids[part] for part in parts], sizes))
    return [tuple(named[start:end]) for start, end in zip([0, *ends], ends, strict=False)]


def _compiled(wish: Wish, items: Vectors) -> tuple[list[int], list[float], list[int]]:
    return largest_shares(
        items,
        wish.parts,
        wish.weights,
        is_sum=wish.is_linear,
        shown=SHARES_SHOWN,
        smallest=SMALLEST_SHARE,
    )


def _in_numpy(wish: Wish, items: Vectors) -> tuple[list[int], list[float], list[int]]:
    pull = np.maximum(items @ wish.parts.T, 0.0) * wish.weights
    if not wish.is_linear:
        pull = shapley_of_best(pull)
    total = pull.sum(axis=1, keepdims=True)
    total[total == 0] = 1.0
    split = np.round((pull / total).astype(np.float64), 4)
    order = (-split).argsort(axis=1, kind="stable")[:, :SHARES_SHOWN]
    sizes = np.take_along_axis(split, order, 1)
    is_named = sizes >= SMALLEST_SHARE
    ends = is_named.sum(axis=1).cumsum()
    return order[is_named].tolist(), sizes[is_named].tolist(), ends.tolist()


def shapley_of_best(values: Vectors) -> Vectors:
    """What each part adds to the largest of them, on average over all orders of adding them.

    Args:
        values: float32 (n, p), not negative; one row an item.

    Returns:
        float32 (n, p); the sum of a row is its largest value.
    """
    order = np.argsort(values, axis=1)
    steps = np.diff(np.take_along_axis(values, order, 1), axis=1, prepend=np.float32(0.0))
    # All parts that reach a step share it.
    reaching = np.arange(values.shape[1], 0, -1, dtype=np.float32)
    split = np.empty_like(values)
    np.put_along_axis(split, order, np.cumsum(steps / reaching, axis=1), 1)
    return split
