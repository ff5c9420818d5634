"""From which cosine on two items are the same to a reader: measured on the words of real texts."""

import re
from collections.abc import Sequence
from typing import Final

import numpy as np

from service.types import Vectors

THRESHOLDS: Final = (0.9, 0.94, 0.96, 0.98, 0.99)
_ALIKE: Final = 0.6
"""Share of words in common from which on two texts count as one wording."""
_BLOCK = 512


def duplicates(vectors: Vectors, texts: Sequence[str]) -> list[str]:
    """For each threshold: pairs from it up to the next one, and how many are one wording."""
    edges = (*THRESHOLDS, 1.1)
    counts = np.zeros((len(THRESHOLDS), 2), np.int64)
    words = [frozenset(re.findall(r"\w+", text.lower())) for text in texts]
    for start in range(0, len(vectors), _BLOCK):
        cosines = np.triu(vectors[start : start + _BLOCK] @ vectors.T, k=start + 1)
        for offset, other in zip(*np.nonzero(cosines >= THRESHOLDS[0]), strict=True):
            place = int(np.searchsorted(edges, cosines[offset, other], side="right")) - 1
            ours, theirs = words[start + offset], words[other]
            counts[place] += 1, len(ours & theirs) >= _ALIKE * len(ours | theirs)
    return [f"{pairs} ({same / max(pairs, 1):.0%})" for pairs, same in counts.tolist()]
