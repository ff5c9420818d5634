"""Made vectors that are as hard to search as those of real texts.

A Gaussian mixture is far too easy: its clusters stand apart, and an inverted file finds everything
in the nearest one. A text is several words at once. So a vector here is a topic, four words that
belong to the topic, two of any kind, each with a weight of its own, what all texts have in common,
and some noise. Topics and words are random directions whose spread falls along the axes as that of
a sentence encoder's vectors does. `docs/benchmarks/index.md` sets the figures beside those of real
captions, films and works of art.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.types import Vectors

DIM = 384
_BLOCK = 50_000
_TOPICS, _WORDS, _TOPIC_WORDS = 4_000, 20_000, 60
_OWN_WORDS, _ANY_WORDS = 4, 2
_COMMON, _TOPIC, _NOISE = 0.5, 1.3, 0.2
# Axis i has a standard deviation of 1 / (1 + i / 28): half the variance lies on 22 axes of 384.
_FALL = 28.0


@dataclass(frozen=True, slots=True, eq=False)
class World:
    """What texts are about: the same seed gives the same world.

    Attributes:
        spread: float32 (dim,), standard deviation by axis.
        common: float32 (dim,), what every text shares.
        topics: float32 (topics, dim), of unit length.
        words: float32 (words, dim), of unit length.
        topic_words: int64 (topics, 60), the words of each topic, the most usual first.
    """

    spread: Vectors
    common: Vectors
    topics: Vectors
    words: Vectors
    topic_words: NDArray[np.int64]

    @classmethod
    def make(cls, seed: int, dim: int = DIM) -> "World":
        """Draw topics and words."""
        chance = np.random.default_rng(seed)
        spread = (1 / (1 + np.arange(dim) / _FALL)).astype(np.float32)
        spread /= np.linalg.norm(spread)

        def directions(count: int) -> Vectors:
            return _unit(chance.standard_normal((count, dim), dtype=np.float32) * spread)

        words, topics = directions(_WORDS), directions(_TOPICS)
        topic_words = chance.integers(_WORDS, size=(_TOPICS, _TOPIC_WORDS))
        return cls(spread, directions(1)[0], topics, words, topic_words)

    def draw(self, count: int, seed: int) -> Vectors:
        """Draw texts; float32 (count, dim), unit rows. Another seed gives others of this world."""
        chance = np.random.default_rng(seed)
        topic = chance.choice(_TOPICS, count, p=_zipf(_TOPICS, 0.8))
        texts = _COMMON * self.common + _TOPIC * self.topics[topic]
        for place in range(_OWN_WORDS + _ANY_WORDS):
            if place < _OWN_WORDS:
                usual = (_TOPIC_WORDS ** chance.random(count)).astype(np.int64) % _TOPIC_WORDS
                word = self.topic_words[topic, usual]
            else:
                word = chance.choice(_WORDS, count, p=_zipf(_WORDS, 0.9))
            weight = chance.gamma(2.0, 0.5, count) / np.sqrt(_OWN_WORDS + _ANY_WORDS)
            texts += weight.astype(np.float32)[:, np.newaxis] * self.words[word]
        noise = chance.standard_normal(texts.shape, dtype=np.float32)
        return _unit(texts + np.float32(_NOISE) * noise * self.spread)


def blocks(world: World, count: int, seed: int) -> Iterator[tuple[int, Vectors]]:
    """Draw `count` texts 50,000 at a time: the first row of each block, and the block."""
    for number, start in enumerate(range(0, count, _BLOCK)):
        yield start, world.draw(min(_BLOCK, count - start), seed + number)


def _unit(vectors: Vectors) -> Vectors:
    unit: Vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return unit


def _zipf(count: int, fall: float) -> NDArray[np.float64]:
    share: NDArray[np.float64] = 1 / np.arange(1, count + 1, dtype=np.float64) ** fall
    share /= share.sum()
    return share
