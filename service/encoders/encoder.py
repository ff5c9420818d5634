"""The seam between text and vectors: everything above it sees only unit rows."""

from collections.abc import Sequence
from typing import Protocol

from service.types import ModelIdentity, Vectors


class Encoder(Protocol):
    """Turns texts into unit vectors, with one model, for queries and for items apart."""

    @property
    def identity(self) -> ModelIdentity:
        """Which model made the vectors; stored in every index."""
        ...

    @property
    def dim(self) -> int:
        """Numbers in a vector."""
        ...

    @property
    def max_tokens(self) -> int:
        """Tokens of a text that are read, special tokens included; the rest is cut off."""
        ...

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        """Encode search texts; returns float32 (len(texts), dim), unit rows, in order."""
        ...

    def encode_items(self, texts: Sequence[str]) -> Vectors:
        """Encode item texts; returns float32 (len(texts), dim), unit rows, in order."""
        ...
