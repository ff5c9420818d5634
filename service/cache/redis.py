"""The second tier: answers shared between processes in Redis, which may fail at any time.

Every operation ends within `RedisLimits.budget_s` and none raises for a fault of Redis: a fault is
a miss with a reason. Only single-key commands are used (GETRANGE, SET, UNLINK, INCRBY), beside PING
and INFO, so an access rule for the user needs no more than these, and a cluster's proxy can route
them.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from service.cache.address import RedisAddress
from service.cache.breaker import Breaker, BreakerState
from service.cache.connection import Connection
from service.cache.failures import ANSWERED, UNDECIDED, Failure, RedisFault
from service.cache.frame import FRAME_OVERHEAD_BYTES, BadFrame, Stored, seal, unseal
from service.cache.pipeline import RedisLimits, Reply, pack
from service.cache.room import Room, read_room

logger = logging.getLogger(__name__)

_QUIET_S: Final = 60.0
"""A refusal (memory full, read-only, ...) is logged anew only after this long without one."""


@dataclass(frozen=True, slots=True)
class Lookup:
    """What a read gave. `failure` None and `value` None is an ordinary miss.

    `left_s` is the value's life from now on, `cost_s` how long making it took.
    """

    value: bytes | None
    failure: Failure | None = None
    left_s: float = field(default=0.0, compare=False)
    cost_s: float = field(default=0.0, compare=False)


@dataclass(frozen=True, slots=True)
class RedisStats:
    """Counts since start, and the connection now. `failures` holds reads and writes, by reason."""

    hits: int
    misses: int
    writes: int
    failures: Mapping[Failure, int]
    breaker: BreakerState
    connects: int
    pending: int


class RedisCache:
    """Bytes by key in Redis, framed, with a time to live, behind a breaker. Event loop only.

    Args:
        address: where; connects at the first use.
        limits: bounds of an operation.
        breaker: decides when not to ask.
        max_server_bytes: where the server has no limit of its own, nothing is written while it
            holds more than this; see `look_at_room`.
        clock: monotonic seconds.
        wall_clock: Unix seconds. A host whose clock is wrong refreshes too early or not at all;
            Redis itself ends the life of a value, by its own clock.
    """

    def __init__(
        self,
        address: RedisAddress,
        limits: RedisLimits,
        breaker: Breaker,
        *,
        max_server_bytes: int | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._connection = Connection(address, limits)
        self._limits = limits
        self._breaker = breaker
        self._max_server_bytes = max_server_bytes
        self._clock = clock
        self._wall_clock = wall_clock
        # Of a hostile 50 MB value no more than the limit plus one byte arrives.
        last = FRAME_OVERHEAD_BYTES + limits.max_value_bytes
        self._get = pack("GETRANGE", b"\0", 0, last).split(b"$1\r\n\0\r\n", 1)
        self._hits = self._misses = self._writes = 0
        self._failures: Counter[Failure] = Counter()
        self._last_refused: dict[Failure, float] = {}
        self._last_loss: RedisFault | None = None
        self._outage_began = 0.0
        self.room: Room | None = None
        """What the server's memory allows, as last told by `look_at_room`; None: not known."""

    @classmethod
    def open(
        cls,
        url: str,
        *,
        limits: RedisLimits | None = None,
        max_server_bytes: int | None = None,
    ) -> "RedisCache":
        """Build a cache for a URL with the real clocks; connects at the first use.

        Raises:
            InvalidSettings: the URL cannot be used.
        """
        return cls(
            RedisAddress.parse(url),
            limits or RedisLimits(),
            Breaker(),
            max_server_bytes=max_server_bytes,
        )

    @property
    def breaker_state(self) -> BreakerState:
        """Whether Redis is asked at present."""
        return self._breaker.state

    @property
    def stats(self) -> RedisStats:
        """A snapshot of the counters."""
        return RedisStats(
            hits=self._hits,
            misses=self._misses,
            writes=self._writes,
            failures=dict(self._failures),
            breaker=self._breaker.state,
            connects=self._connection.connects,
            pending=self._connection.pending,
        )

    async def get(self, key: bytes) -> Lookup:
        """Read a value. Whatever is wrong with Redis or the stored bytes, this is a miss."""
        if not self._breaker.admit():
            self._failures["open"] += 1
            self._misses += 1
            return Lookup(None, "open")
        before, after = self._get
        try:
            frame = await self._connection.ask(
                b"%b$%d\r\n%b\r\n%b" % (before, len(key), key, after)
            )
            stored = None if frame == b"" else await self._unseal(key, frame)
        except RedisFault as fault:
            self._misses += 1
            return Lookup(None, self._fail(fault))
        self._succeed()
        if stored is None:
            self._misses += 1
            return Lookup(None)
        self._hits += 1
        return Lookup(stored.body, None, stored.expires_at - self._wall_clock(), stored.cost_s)

    async def put(
        self, key: bytes, value: bytes, *, ttl_s: float, cost_s: float = 0.0
    ) -> Failure | None:
        """Store a value, replacing what is there. Returns why not, or None where it is stored.

        Args:
            key: from `cache_key`.
            value: at most `max_value_bytes`.
            ttl_s: its life.
            cost_s: how long making it took; comes back with it.
        """
        refusal = self._refusal(len(value))
        if refusal is not None:
            self._failures[refusal] += 1
            return refusal
        frame = seal(key, Stored(value, self._wall_clock() + ttl_s, cost_s))
        try:
            reply = await self._connection.ask(
                pack("SET", key, frame, "PX", max(1, round(ttl_s * 1e3)))
            )
            if reply != b"OK":
                self._connection.drop()
                raise RedisFault("corrupt")
        except RedisFault as fault:
            return self._fail(fault)
        self._writes += 1
        self._succeed()
        return None

    async def count(self, key: bytes, amount: int, life_s: int) -> int | None:
        """Add to a counter that all processes share; it begins at 0, and ends after `life_s`.

        Args:
            key: from `cache_key`.
            amount: what to add.
            life_s: from the first use on.

        Returns:
            The new total, or None where Redis cannot be used.
        """
        if not self._breaker.admit():
            self._failures["open"] += 1
            return None
        try:
            # Both go out in one write. The first does nothing where the counter exists.
            _, total = await asyncio.gather(
                self._connection.ask(pack("SET", key, 0, "EX", life_s, "NX")),
                self._connection.ask(pack("INCRBY", key, amount)),
            )
        except RedisFault as fault:
            self._fail(fault)
            return None
        self._succeed()
        return total if isinstance(total, int) else None

    async def ping(self) -> Failure | None:
        """Ask Redis for a sign of life, whatever the breaker thinks. Returns what is wrong."""
        try:
            await self._connection.ask(pack("PING"))
        except RedisFault as fault:
            return fault.failure
        return None

    async def look_at_room(self) -> Failure | None:
        """Ask how much memory the server uses and may use; see `room`. Returns what is wrong."""
        if not self._breaker.admit():
            return "open"
        try:
            self.room = read_room(
                await self._connection.ask(pack("INFO", "memory")), self._max_server_bytes
            )
        except RedisFault as fault:
            return self._fail(fault)
        self._succeed()
        return None

    async def aclose(self) -> None:
        """Close the connection. Call it when no operation is under way any more."""
        await self._connection.aclose()

    async def _unseal(self, key: bytes, frame: Reply) -> Stored:
        try:
            return unseal(key, frame, self._limits.max_value_bytes)
        except BadFrame:
            # Either the stored bytes are bad or the reply is not ours. Remove the one and leave
            # the connection, whose next replies may be shifted too.
            try:
                await self._connection.ask(pack("UNLINK", key))
            finally:
                self._connection.drop()
            raise RedisFault("corrupt") from None

    def _refusal(self, size_bytes: int) -> Failure | None:
        if size_bytes > self._limits.max_value_bytes:
            return "oversized"
        if self.room is not None and self.room.is_full:
            return "full"
        return None if self._breaker.admit() else "open"

    def _succeed(self) -> None:
        if self._breaker.succeed():
            outage_s = self._clock() - self._outage_began
            logger.info("Redis answers again after %.1f s", outage_s)

    def _fail(self, fault: RedisFault) -> Failure:
        failure = fault.failure
        self._failures[failure] += 1
        if failure in ANSWERED:
            self._succeed()
        elif self._is_news(fault) and self._breaker.fail():
            self._outage_began = self._clock()
            logger.warning("Redis is out of use (%s); answering without it", failure)
        if failure in ANSWERED or failure == "other":
            self._log_refusal(fault)
        return failure

    def _is_news(self, fault: RedisFault) -> bool:
        # All who shared a connection learn of its loss, but it is one loss: a server that hangs up
        # once is asked again at once. A late reply is a fault for each who waited.
        is_told = fault.failure == "connect" and fault is self._last_loss
        self._last_loss = fault
        return fault.failure not in UNDECIDED and not is_told

    def _log_refusal(self, fault: RedisFault) -> None:
        now = self._clock()
        before = self._last_refused.get(fault.failure)
        self._last_refused[fault.failure] = now
        if before is None or now - before >= _QUIET_S:
            logger.warning("Redis refuses or holds a bad value (%s, %r)", fault.failure, fault.code)
