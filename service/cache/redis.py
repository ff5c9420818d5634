"""The second tier: answers shared between processes in Redis, which may fail at any time.

Every operation ends within `RedisLimits.budget_s` and none raises for a fault of Redis: a fault is
a miss with a reason. Only single-key commands are used (GETRANGE, SET, UNLINK, and PING), so an
access rule for the user needs no more than these, and a cluster's proxy can route them.
"""

import asyncio
import logging
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from redis.asyncio import BlockingConnectionPool
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import RedisError

from service.cache.breaker import Breaker, BreakerState
from service.cache.connections import RedisLimits, open_pool
from service.cache.failures import ANSWERED, UNDECIDED, Failure, classify
from service.cache.frame import FRAME_OVERHEAD_BYTES, BadFrame, seal, unseal

logger = logging.getLogger(__name__)

_FAULTS: Final = (RedisError, OSError, BadFrame)
_QUIET_S: Final = 60.0
"""A refusal (memory full, read-only, ...) is logged anew only after this long without one."""


@dataclass(frozen=True, slots=True)
class Lookup:
    """What a read gave. `failure` None and `value` None is an ordinary miss."""

    value: bytes | None
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class RedisStats:
    """Counts since start, and the pool now. `failures` holds reads and writes, by reason seen."""

    hits: int
    misses: int
    writes: int
    failures: Mapping[Failure, int]
    breaker: BreakerState
    idle_connections: int
    busy_connections: int


class RedisCache:
    """Bytes by key in Redis, framed, with a time to live, behind a breaker.

    Args:
        pool: from `open_pool`; this object closes it.
        limits: the same that the pool was built with.
        breaker: decides when not to ask.
        ttl_s: longest life of a value.
        ttl_jitter: share of `ttl_s` by which a life may be shorter, so that values written
            together do not expire together.
        chance: uniform numbers in [0, 1).
        clock: monotonic seconds.
    """

    def __init__(
        self,
        pool: BlockingConnectionPool,
        limits: RedisLimits,
        breaker: Breaker,
        *,
        ttl_s: float,
        ttl_jitter: float = 0.1,
        chance: Callable[[], float] = random.random,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pool = pool
        self._limits = limits
        self._breaker = breaker
        self._ttl_s = ttl_s
        self._ttl_jitter = ttl_jitter
        self._chance = chance
        self._clock = clock
        self._hits = self._misses = self._writes = 0
        self._failures: Counter[Failure] = Counter()
        self._last_refused: dict[Failure, float] = {}
        self._outage_began = 0.0

    @classmethod
    def open(cls, url: str, *, ttl_s: float, limits: RedisLimits | None = None) -> "RedisCache":
        """Build a cache for a URL with the real clock and chance; connects at the first use.

        Raises:
            InvalidSettings: the URL cannot be used.
        """
        limits = limits or RedisLimits()
        return cls(open_pool(url, limits), limits, Breaker(), ttl_s=ttl_s)

    @property
    def breaker_state(self) -> BreakerState:
        """Whether Redis is asked at present."""
        return self._breaker.state

    @property
    def stats(self) -> RedisStats:
        """A snapshot of the counters."""
        (idle, _), (busy, _) = self._pool.get_connection_count()
        return RedisStats(
            hits=self._hits,
            misses=self._misses,
            writes=self._writes,
            failures=dict(self._failures),
            breaker=self._breaker.state,
            idle_connections=idle,
            busy_connections=busy,
        )

    async def get(self, key: bytes) -> Lookup:
        """Read a value. Whatever is wrong with Redis or the stored bytes, this is a miss."""
        value: bytes | None = None
        failure = self._refusal()
        if failure is None:
            try:
                async with self._connection() as connection:
                    value = await self._read(connection, key)
                self._succeed()
            except _FAULTS as error:
                failure = self._fail(error)
        if value is None:
            self._misses += 1
        else:
            self._hits += 1
        return Lookup(value, failure)

    async def put(self, key: bytes, value: bytes) -> Failure | None:
        """Store a value, replacing what is there. Returns why not, or None where it is stored."""
        if len(value) > self._limits.max_value_bytes:
            self._failures["oversized"] += 1
            return "oversized"
        failure = self._refusal()
        if failure is None:
            try:
                async with self._connection() as connection:
                    await self._write(connection, key, value)
                self._writes += 1
                self._succeed()
            except _FAULTS as error:
                failure = self._fail(error)
        return failure

    async def ping(self) -> Failure | None:
        """Ask Redis for a sign of life, whatever the breaker thinks. Returns what is wrong."""
        try:
            async with self._connection() as connection:
                await _ask(connection, "PING")
        except _FAULTS as error:
            return classify(error)
        return None

    async def aclose(self) -> None:
        """Close all connections. Call it when no operation is under way any more."""
        try:
            await self._pool.aclose()
        except _FAULTS as error:
            logger.debug("Redis connection did not close in time: %s", classify(error))

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[AbstractConnection]:
        """Lend a connection; the block, and getting the connection, must fit into the budget.

        redis-py drops the connection when a read or write on it fails, times out or is cancelled,
        so what comes back to the pool never has a reply outstanding.
        """
        async with asyncio.timeout(self._limits.budget_s):
            connection = await self._pool.get_connection()  # type: ignore[no-untyped-call,unused-ignore]
            try:
                yield connection
            finally:
                await self._pool.release(connection)

    async def _read(self, connection: AbstractConnection, key: bytes) -> bytes | None:
        # GETRANGE, not GET: of a hostile 50 MB value no more than the limit plus one byte arrives.
        last = FRAME_OVERHEAD_BYTES + self._limits.max_value_bytes
        frame = await _ask(connection, "GETRANGE", key, 0, last)
        if frame == b"":
            return None
        try:
            return unseal(key, frame, self._limits.max_value_bytes)
        except BadFrame:
            # Either the stored bytes are bad or the reply is not ours. Remove the one and leave
            # the connection, whose next replies may be shifted too.
            try:
                await _ask(connection, "UNLINK", key)
            finally:
                await connection.disconnect(nowait=True)
            raise

    async def _write(self, connection: AbstractConnection, key: bytes, value: bytes) -> None:
        ttl_ms = max(1, round(self._ttl_s * (1.0 - self._ttl_jitter * self._chance()) * 1000))
        reply = await _ask(connection, "SET", key, seal(key, value), "PX", ttl_ms)
        if reply != b"OK":
            await connection.disconnect(nowait=True)
            raise BadFrame("reply to SET is not OK")

    def _refusal(self) -> Failure | None:
        if self._breaker.admit():
            return None
        self._failures["open"] += 1
        return "open"

    def _succeed(self) -> None:
        if self._breaker.succeed():
            outage_s = self._clock() - self._outage_began
            logger.info("Redis answers again after %.1f s", outage_s)

    def _fail(self, error: Exception) -> Failure:
        failure = classify(error)
        self._failures[failure] += 1
        if failure in ANSWERED:
            self._succeed()
        elif failure not in UNDECIDED and self._breaker.fail():
            self._outage_began = self._clock()
            logger.warning("Redis is out of use (%s); answering without it", failure)
        if failure in ANSWERED or failure == "other":
            self._log_refusal(failure, error)
        return failure

    def _log_refusal(self, failure: Failure, error: Exception) -> None:
        now = self._clock()
        before = self._last_refused.get(failure)
        self._last_refused[failure] = now
        if before is None or now - before >= _QUIET_S:
            # Only the first word, the error's code: the rest may quote what was sent.
            code = str(error).partition(" ")[0][:20]
            logger.warning("Redis refuses or holds a bad value (%s, %r)", failure, code)


async def _ask(connection: AbstractConnection, *command: str | bytes | int) -> object:
    await connection.send_command(*command)
    reply: object = await connection.read_response()
    return reply
