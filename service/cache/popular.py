"""Which questions are asked most, in bounded memory and only in memory."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

Question = TypeVar("Question")


@dataclass(slots=True)
class _Asked(Generic[Question]):
    question: Question
    times: int
    """Above `Popular._floor` it counts."""
    key: bytes
    """The cache key of its latest answer."""


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
        self._by_key: dict[bytes, _Asked[Question]] = {}
        # What all counts have gone down by: to change each of them, and to drop at once all that
        # reach zero, would keep a request waiting for milliseconds.
        self._floor = 0
        self._suspects: Iterator[bytes] = iter(())

    def __len__(self) -> int:
        return sum(self._counts(asked) for asked in self._asked.values())

    def note(self, name: bytes, question: Question, key: bytes) -> None:
        """Count a question once.

        Args:
            name: what makes it the same as another, whatever the index version.
            question: what to give back.
            key: the cache key of its answer now, for `again`.
        """
        asked = self._asked.get(name)
        if asked is None:
            if len(self._asked) >= self._size and not self._has_made_room():
                return
            asked = self._asked[name] = _Asked(question, self._floor, key)
        asked.times = max(asked.times, self._floor) + 1
        if asked.key != key:
            # A new version or a change has a new answer; nobody repeats the old one.
            self._by_key.pop(asked.key, None)
            asked.key = key
        self._by_key[key] = asked

    def again(self, key: bytes) -> None:
        """Count a question once more, by its answer's cache key; an unknown one is no error."""
        asked = self._by_key.get(key)
        if asked is not None and self._counts(asked):
            asked.times += 1

    def most(self, count: int) -> list[Question]:
        """Return up to `count` questions, the most frequent first."""
        counted = [asked for asked in self._asked.values() if self._counts(asked)]
        ranked = sorted(counted, key=lambda asked: -asked.times)
        return [asked.question for asked in ranked[:count]]

    def fade(self) -> None:
        """Halve all counts, so that what was asked long ago weighs less."""
        for asked in self._asked.values():
            if self._counts(asked):
                asked.times = self._floor + (asked.times - self._floor) // 2
        self._suspects = iter(list(self._asked))

    def _counts(self, asked: _Asked[Question]) -> bool:
        return asked.times > self._floor

    def _has_made_room(self) -> bool:
        """Drop one that counts no more; where there is none, let all go down by one."""
        for name in self._suspects:
            asked = self._asked.get(name)
            if asked is not None and not self._counts(asked):
                del self._asked[name]
                self._by_key.pop(asked.key, None)
                return True
        self._floor += 1
        self._suspects = iter(list(self._asked))
        return False
