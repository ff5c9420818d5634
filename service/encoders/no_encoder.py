"""Stands where an encoder would, for an index of vectors that a team brought along."""

from collections.abc import Sequence
from dataclasses import dataclass

from service.errors import TextSearchUnavailable
from service.types import ModelIdentity, Vectors


@dataclass(frozen=True, slots=True)
class NoEncoder:
    """An `Encoder` that has no model and says so."""

    identity: ModelIdentity
    dim: int
    max_tokens: int = 0

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        """Refuse.

        Raises:
            TextSearchUnavailable: always.
        """
        raise TextSearchUnavailable(
            f"This index was built with vectors of {self.identity}; there is no model here that "
            "could encode a text.",
            "Ask with `like` or `dislike`.",
        )

    encode_items = encode_queries
