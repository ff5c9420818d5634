"""From likes, dislikes and a text to one score for every item: the three strategies.

All of them are Qdrant's, with weights added. They agree for a single like without a dislike.
"""

from dataclasses import dataclass
from itertools import islice
from typing import Final

import numpy as np

from service.index.shelf import Shelf
from service.recommend.diversity import unit_rows, varied
from service.recommend.seeds import KnownSeeds
from service.types import NO_ROW, ItemId, Rows, Scores, Strategy, Vector, Vectors

_GROUPS: Final = 4
# Below every similarity of unit vectors.
_REJECTED: Final = np.float32(-2.0)
_LOWEST_LIKING: Final = -1.0
_WHOLE: Final = np.ones(1, np.float32)
_NOWHERE: Final = np.full(1, NO_ROW, np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class Wish:
    """What is looked for.

    Args:
        parts: float32 (p, dim), the liked items and the text.
        weights: float32 (p,), summing to 1 where there is a part.
        ids: the p seed ids, None for the search text.
        against: float32 (m, dim), the disliked items.
        against_weights: float32 (m,).
        probes: float32 (q, dim), vectors whose nearest items are the candidates.
        near: int64 (q,), for each probe the row that it is the vector of, -1 where there is none.
        is_linear: whether the score of an item is its inner product with the only probe.
    """

    parts: Vectors
    weights: Vector
    ids: tuple[ItemId | None, ...]
    against: Vectors
    against_weights: Vector
    probes: Vectors
    near: Rows
    is_linear: bool

    def is_turned_away(self, score: float) -> bool:
        """Tell by its score whether an item is nearer to a dislike than to everything liked."""
        return not self.is_linear and len(self.parts) > 0 and score < _LOWEST_LIKING

    def scores(self, items: Vectors) -> Scores:
        """Score float32 (n, dim) item vectors; returns float32 (n,), higher is better."""
        if self.is_linear:
            scores: Scores = items @ self.probes[0]
            return scores
        liking = _best(items, self.parts, self.weights)
        if not len(self.against):
            return liking
        disliking = _best(items, self.against, self.against_weights)
        return np.where(liking > disliking, liking, _REJECTED - disliking)


def wish_of(
    seeds: KnownSeeds, shelf: Shelf, text: Vector | None, strategy: Strategy | None
) -> Wish | None:
    """Combine what is liked, disliked and typed.

    A text weighs as much as all liked items together: it is what the user wants now, whatever
    the size of the board it was typed on. Where only the best seed counts, it weighs as much as
    the heaviest of them.

    - `average_vector`: inner product with the mean of the positives, or where there are dislikes
      with 2 x mean(positives) - mean(dislikes). Needs a positive.
    - `sum_scores`: mean similarity to the positives, less that to the dislikes, each dislike
      counting like a positive of its weight.
    - `best_score`: a is the best similarity to a positive, b to a dislike, each scaled by its
      weight over the heaviest one's; the score is a where a > b, else -2 - b, which is below
      every a. Candidates are searched for with the means of a few groups of positives; measured,
      that loses nothing against one search for each, see docs/benchmarks/quality.md.

    Without a strategy it is `best_score`, which was measured to be best; with a text, or without
    a positive, `average_vector`: a text is wished for together with what is liked, not beside it.

    Args:
        seeds: rows and weights.
        shelf: has the vectors of the rows.
        text: float32 (dim,), the encoded search text, if any.
        strategy: which of the three, None for the best.

    Returns:
        None when there is nothing to go by: no positive, and no dislike that the strategy can
        use alone.

    Source: Qdrant's recommendation strategies.
    """
    if text is None and len(seeds.liked) == 1 and not len(seeds.disliked):
        # What most ask for: the mean of one, and the nearest of one, is the one.
        one = shelf.vectors(seeds.liked)
        return Wish(
            one,
            _WHOLE,
            seeds.liked_ids,
            one[:0],
            seeds.disliked_weights,
            one,
            seeds.liked,
            is_linear=True,
        )
    if text is not None and not len(seeds.liked) + len(seeds.disliked) and strategy != "best_score":
        # Nor has a text by itself anything to be weighed against.
        one = text[np.newaxis, :]
        return Wish(one, _WHOLE, (None,), one[:0], seeds.disliked_weights, one, _NOWHERE, True)
    if strategy is None:
        is_one_wish = text is not None or not len(seeds.liked)
        strategy = "average_vector" if is_one_wish else "best_score"
    is_linear = strategy != "best_score"
    parts = shelf.vectors(seeds.liked)
    weights = seeds.liked_weights
    ids: tuple[ItemId | None, ...] = seeds.liked_ids
    if text is not None:
        parts = np.concatenate([parts, text[np.newaxis, :]])
        own = (weights.sum() if is_linear else weights.max()) if len(weights) else np.float32(1.0)
        weights = np.append(weights, own).astype(np.float32)
        ids = (*ids, None)
    if not len(parts) and (strategy == "average_vector" or not len(seeds.disliked)):
        return None
    total = weights.sum() if len(weights) else np.float32(1.0)
    shares = weights / total
    against = shelf.vectors(seeds.disliked) if len(seeds.disliked) else parts[:0]
    blame = seeds.disliked_weights
    if not is_linear:
        probes = _groups(parts, shares) if len(parts) else -(blame @ against)[np.newaxis, :]
    elif strategy == "sum_scores":
        probes = _sum(shares @ parts, against, blame / (total if len(parts) else blame.sum()))
    else:
        probes = _average(shares @ parts, against, blame)
    near = np.full(len(probes), NO_ROW, np.int64)
    if probes is parts:
        near[: len(seeds.liked)] = seeds.liked
    return Wish(parts, shares, ids, against, blame, probes, near, is_linear)


def _groups(parts: Vectors, shares: Vector) -> Vectors:
    """The weighted means of the parts around the most different of them: float32 (<= 4, dim)."""
    if len(parts) <= _GROUPS:
        return parts
    leaders = list(islice(varied(parts, shares, 1.0), _GROUPS))
    nearest = (unit_rows(parts) @ unit_rows(parts[leaders]).T).argmax(axis=1)
    means = [shares[nearest == group] @ parts[nearest == group] for group in set(nearest.tolist())]
    return np.stack(means).astype(np.float32)


def _average(liked: Vector, against: Vectors, blame: Vector) -> Vectors:
    if len(against):
        liked = 2.0 * liked - blame @ against / blame.sum()
    return liked.astype(np.float32)[np.newaxis, :]


def _sum(liked: Vector, against: Vectors, blame: Vector) -> Vectors:
    if len(against):
        liked = liked - blame @ against
    return liked.astype(np.float32)[np.newaxis, :]


def _best(items: Vectors, seeds: Vectors, weights: Vector) -> Scores:
    """The best weighted similarity to a seed; minus infinity where there is no seed."""
    if not len(seeds):
        return np.full(len(items), -np.inf, dtype=np.float32)
    best: Scores = ((items @ seeds.T) * (weights / weights.max())).max(axis=1)
    return best
