"""Which questions are asked most, in bounded memory and only in memory."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

Question = TypeVar("Question")

_KEYS_A_QUESTION: Final = 4


@dataclass(slots=True)
class _Asked(Generic[Question]):
    question: Question
    times: int


class Popular(Generic[Question]):
    """Counts questions; of a long stream the frequent ones stay.

    When there is no room, all counts go down by one and what reaches zero makes room: a question
    that makes up more than one in `size` of all that were asked is never lost, and its count is
    too low by at most one in `size` of them. Texts of users are in here, so it is never written
    anywhere.

    Args:
        size: questions counted at once; 0 counts nothing.

    Source: Misra and Gries, Science of Computer Programming 1982.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._asked: dict[bytes, _Asked[Question]] = {}
        self._by_key: OrderedDict[bytes, _Asked[Question]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._asked)

    def note(self, name: bytes, question: Question, key: bytes) -> None:
        """Count a question once.

        Args:
            name: what makes it the same as another, whatever the index version.
            question: what to give back.
            key: the cache key of its answer now, for `again`.
        """
        asked = self._asked.get(name)
        if asked is None:
            if len(self._asked) >= self._size:
                self._make_room()
                return
            asked = self._asked[name] = _Asked(question, 0)
        asked.times += 1
        self._by_key[key] = asked
        if len(self._by_key) > _KEYS_A_QUESTION * self._size:
            self._by_key.popitem(last=False)

    def again(self, key: bytes) -> None:
        """Count a question once more, by its answer's cache key; an unknown one is no error."""
        asked = self._by_key.get(key)
        if asked is not None:
            asked.times += 1

    def most(self, count: int) -> list[Question]:
        """Return up to `count` questions, the most frequent first."""
        ranked = sorted(self._asked.values(), key=lambda asked: -asked.times)
        return [asked.question for asked in ranked[:count]]

    def fade(self) -> None:
        """Halve all counts, so that what was asked long ago weighs less."""
        for asked in self._asked.values():
            asked.times //= 2
        self._drop_zeros()

    def _make_room(self) -> None:
        for asked in self._asked.values():
            asked.times -= 1
        self._drop_zeros()

    def _drop_zeros(self) -> None:
        self._asked = {name: asked for name, asked in self._asked.items() if asked.times > 0}
        self._by_key = OrderedDict(
            (key, asked) for key, asked in self._by_key.items() if asked.times > 0
        )
