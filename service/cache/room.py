"""How much memory the Redis server uses, and who keeps it within bounds."""

from dataclasses import dataclass
from typing import Final

from service.cache.failures import RedisFault

_EVICTING: Final = frozenset(
    {
        "allkeys-lru", "allkeys-lfu", "allkeys-random",
        "volatile-lru", "volatile-lfu", "volatile-random", "volatile-ttl",
    }
)  # fmt: skip
"""Policies that make room for a new value; all of ours have a time to live, so volatile ones do."""


@dataclass(frozen=True, slots=True)
class Room:
    """The server's memory at a moment. `max_bytes` 0 means that it has no limit of its own.

    `ours_bytes` is our limit for a server without one.
    """

    used_bytes: int
    max_bytes: int
    policy: str
    ours_bytes: int | None = None

    @property
    def is_full(self) -> bool:
        """Whether nothing more may be written because the server itself would never say no."""
        if self.max_bytes or self.ours_bytes is None:
            return False
        return self.used_bytes >= self.ours_bytes

    @property
    def concern(self) -> str | None:
        """What an operator should mend, None if nothing."""
        if not self.max_bytes:
            return (
                "Redis has no maxmemory: set one, and maxmemory-policy allkeys-lfu. Until then "
                "Magpie stops writing when the server holds MAGPIE_REDIS_BYTES."
            )
        if self.policy not in _EVICTING:
            return (
                f"Redis has maxmemory-policy {self.policy}: once full it refuses every write. "
                "Set allkeys-lfu."
            )
        return None


def read_room(reply: object, ours_bytes: int | None) -> Room:
    """Read the reply to INFO memory.

    Raises:
        RedisFault: it is not that.
    """
    if not isinstance(reply, bytes):
        raise RedisFault("corrupt")
    lines = reply.decode("ascii", "replace").splitlines()
    facts = dict(line.split(":", 1) for line in lines if ":" in line)
    try:
        used, limit = int(facts["used_memory"]), int(facts["maxmemory"])
        return Room(used, limit, facts["maxmemory_policy"].strip(), ours_bytes)
    except (KeyError, ValueError):
        raise RedisFault("corrupt") from None
