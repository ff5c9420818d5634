"""The first tier: answers kept in this process, bounded by bytes, least recently used out first."""

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

ENTRY_OVERHEAD_BYTES: Final = 312
"""What an entry costs beside the characters of key and value: objects, table slot, list node.

Measured with tracemalloc on CPython 3.11 at the table's worst moment, just after it grew; a test
measures it again.
"""


Entry: TypeAlias = tuple[bytes, float, float]
"""A value, when it ends, and when to make it anew; on the clock of the cache.

A plain tuple, as the collector lets go of those for good; a class's own it would walk through
again and again, a hundred thousand of them in a full cache, while nobody is answered.
"""


@dataclass(frozen=True, slots=True)
class LocalStats:
    """Counts since start, and what is held now. `held_bytes` includes the overhead of entries."""

    hits: int
    misses: int
    evictions: int
    expirations: int
    entries: int
    held_bytes: int


class LocalCache:
    """A least-recently-used map of bytes to bytes with times to live and one byte budget.

    Not thread-safe: use it from the event loop's thread only, where no other task can run between
    its steps.

    Args:
        max_bytes: upper bound of keys + values + `ENTRY_OVERHEAD_BYTES` per entry.
        ttl_s: seconds after which an entry is a miss where `put` says nothing else; counted from
            `put`, not from the last use.
        clock: monotonic seconds.
    """

    def __init__(
        self, *, max_bytes: int, ttl_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._max_bytes = max_bytes
        self._ttl_s = ttl_s
        self._clock = clock
        self._entries: OrderedDict[bytes, Entry] = OrderedDict()
        self._held_bytes = 0
        self._hits = self._misses = self._evictions = self._expirations = 0

    def get(self, key: bytes) -> bytes | None:
        """Return the value, or None where there is none or it has expired."""
        entry = self.find(key)
        return None if entry is None else entry[0]

    def find(self, key: bytes) -> Entry | None:
        """Return the value with its times, or None where there is none or it has expired."""
        entry = self._entries.get(key)
        if entry is not None and entry[1] <= self._clock():
            self._remove(key)
            self._expirations += 1
            entry = None
        if entry is None:
            self._misses += 1
            return None
        self._entries.move_to_end(key)
        self._hits += 1
        return entry

    def put(
        self,
        key: bytes,
        value: bytes,
        *,
        ttl_s: float | None = None,
        refresh_in_s: float = math.inf,
    ) -> None:
        """Store a value, pushing out the least recently used; one larger than all is not kept."""
        self.discard(key)
        size = _size_bytes(key, value)
        if size > self._max_bytes:
            return
        while self._held_bytes + size > self._max_bytes:
            self._remove(next(iter(self._entries)))
            self._evictions += 1
        now = self._clock()
        ends_at = now + (self._ttl_s if ttl_s is None else ttl_s)
        self._entries[key] = (value, ends_at, now + refresh_in_s)
        self._held_bytes += size

    def defer(self, key: bytes, seconds: float) -> None:
        """Put the time to make a value anew off until so many seconds from now."""
        entry = self._entries.get(key)
        if entry is not None:
            value, ends_at, _ = entry
            self._entries[key] = (value, ends_at, self._clock() + seconds)

    def discard(self, key: bytes) -> None:
        """Forget a key; one that is not there is no error."""
        if key in self._entries:
            self._remove(key)

    @property
    def stats(self) -> LocalStats:
        """A snapshot of the counters."""
        return LocalStats(
            hits=self._hits,
            misses=self._misses,
            evictions=self._evictions,
            expirations=self._expirations,
            entries=len(self._entries),
            held_bytes=self._held_bytes,
        )

    def _remove(self, key: bytes) -> None:
        value, _, _ = self._entries.pop(key)
        self._held_bytes -= _size_bytes(key, value)


def _size_bytes(key: bytes, value: bytes) -> int:
    return len(key) + len(value) + ENTRY_OVERHEAD_BYTES
