"""A search text in the queue of the batcher."""

import asyncio
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from service.encoders.encoder import Encoder
from service.types import Vector

# Of UTF-8 bytes: a Chinese character has three and is about one token. Of English a token has four
# to five, so that this counts too many: 1.5 times as many over the queries of the load tests.
BYTES_PER_TOKEN: Final = 3
SPECIAL_TOKENS: Final = 2

Loss: TypeAlias = Literal["left", "expired"]


def estimate_tokens(text: str, max_tokens: int) -> int:
    """Guess how many tokens a text has, from its length alone; good enough to bound a batch."""
    guess = SPECIAL_TOKENS + -(-len(text.encode("utf-8", "replace")) // BYTES_PER_TOKEN)
    return min(guess, max_tokens)


@dataclass(slots=True, eq=False)
class WaitingText:
    """A text, the model it is for, and the caller who waits for its vector."""

    text: str
    encoder: Encoder
    deadline: float
    arrived: float
    tokens: int
    vector: asyncio.Future[Vector] = field(repr=False)
    alone: bool = False
    """It was in a batch that failed, and must show that it was not the cause."""

    def loss(self, now: float) -> Loss | None:
        """Why nobody wants the vector any more; None while somebody does."""
        if now >= self.deadline:
            return "expired"
        return "left" if self.vector.done() else None

    def fail(self, error: Exception) -> None:
        """Tell the caller, if there is one still, that there will be no vector."""
        if not self.vector.done():
            self.vector.set_exception(error)
