"""One connection to Redis that many callers share: questions go out together, in order.

Replies come in the order of the questions, so each reply belongs to the oldest question that has
none. That also holds when a caller has left: its reply is read and dropped. What is asked in one
turn of the event loop goes out in one write.
"""

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Final, TypeAlias, cast

import hiredis

from service.cache.address import RedisAddress, keep_alive
from service.cache.failures import Failure, RedisFault, fault_of

CLIENT_NAME: Final = b"magpie"
"""How our connections are called in `CLIENT LIST`."""

Reply: TypeAlias = object
_Pending: TypeAlias = tuple[asyncio.Future[Reply], float]

_INCOMPLETE: Final = object()
# An event loop that was busy with us finds timers before what has arrived meanwhile.
_STALL_S: Final = 0.005


@dataclass(frozen=True, slots=True)
class RedisLimits:
    """How long an operation may take and how much it may carry.

    `budget_s` bounds a whole operation: connecting, asking, reading. `max_pending` bounds the
    questions without a reply; one more is not asked.
    """

    budget_s: float = 0.050
    connect_timeout_s: float = 0.050
    max_pending: int = 1024
    max_value_bytes: int = 1 << 20


class Pipeline(asyncio.Protocol):
    """An open connection, until the first fault: after that every question fails.

    Args:
        limits: bounds.
    """

    def __init__(self, limits: RedisLimits) -> None:
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._reader = hiredis.Reader(notEnoughData=_INCOMPLETE)
        self._transport: asyncio.Transport | None = None
        self._pending: deque[_Pending] = deque()
        self._outbox: list[bytes] = []
        self._timer: asyncio.Handle | None = None
        self._look_at = 0.0
        self._is_clogged = False
        self._loss: RedisFault | None = None
        self._gone = asyncio.Event()

    @property
    def is_lost(self) -> bool:
        """Whether nothing can be asked here any more."""
        return self._loss is not None

    @property
    def pending(self) -> int:
        """Questions without a reply, those of callers who left included."""
        return len(self._pending)

    def ask(self, command: bytes) -> asyncio.Future[Reply]:
        """Send a packed command; the future gets the reply, or RedisFault.

        An error that Redis replies is a RedisFault of this question alone. Cancel the future to
        leave; the connection stays in order.

        Raises:
            RedisFault: `busy` where too many wait or the peer takes no more, or what the
                connection was lost by.
        """
        if self._loss is not None:
            raise self._loss
        if self._is_clogged or len(self._pending) >= self._limits.max_pending:
            raise RedisFault("busy")
        future: asyncio.Future[Reply] = self._loop.create_future()
        deadline = self._loop.time() + self._limits.budget_s
        self._pending.append((future, deadline))
        if self._timer is None:
            self._set_timer(deadline)
        if not self._outbox:
            self._loop.call_soon(self._flush)
        self._outbox.append(command)
        return future

    def drop(self, failure: Failure) -> None:
        """Give the connection up, and with it every question that has no reply."""
        if self._loss is not None:
            return
        # One object for all who wait, so that one loss can be counted as one.
        self._loss = RedisFault(failure)
        if self._timer is not None:
            self._timer.cancel()
        if self._transport is not None:
            self._transport.abort()
        while self._pending:
            future, _ = self._pending.popleft()
            if not future.done():
                future.set_exception(self._loss)

    async def aclose(self) -> None:
        """Give the connection up and wait until it is closed."""
        self.drop("connect")
        if self._transport is not None:
            await self._gone.wait()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by asyncio."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Called by asyncio with the next bytes."""
        self._reader.feed(data)
        try:
            while (reply := self._reader.gets()) is not _INCOMPLETE:
                self._hand_out(reply)
        except hiredis.ProtocolError:
            self.drop("other")

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by asyncio when the connection is gone."""
        self._gone.set()
        self.drop("connect")

    def pause_writing(self) -> None:
        """Called by asyncio when the peer does not take what was written."""
        self._is_clogged = True

    def resume_writing(self) -> None:
        """Called by asyncio when it does again."""
        self._is_clogged = False

    def _hand_out(self, reply: Reply) -> None:
        if not self._pending:
            # Redis speaks unasked only to refuse a connection; anything else is not Redis.
            self.drop(fault_of(str(reply)).failure)
            return
        future, _ = self._pending.popleft()
        if future.done():
            return
        if isinstance(reply, hiredis.ReplyError):
            future.set_exception(fault_of(str(reply)))
        else:
            future.set_result(reply)

    def _flush(self) -> None:
        if self._transport is not None and self._loss is None:
            self._transport.write(b"".join(self._outbox))
        self._outbox.clear()

    def _set_timer(self, at: float) -> None:
        # Noted here: uvloop's handle of a time that has come does not know it.
        self._look_at = at
        self._timer = self._loop.call_at(at, self._look_at_clock)

    def _look_at_clock(self) -> None:
        # One timer a connection, not one a question: the oldest question is the first to be late.
        self._timer = None
        if not self._pending:
            return
        now = self._loop.time()
        _, deadline = self._pending[0]
        if now - self._look_at > _STALL_S:
            deadline = max(deadline, now + _STALL_S)
        if deadline <= now:
            self.drop("timeout")
        else:
            self._set_timer(deadline)


async def connect(address: RedisAddress, limits: RedisLimits) -> Pipeline:
    """Connect and log in, within `connect_timeout_s`.

    Raises:
        RedisFault: it did not come to that.
    """
    pipeline = Pipeline(limits)
    try:
        async with asyncio.timeout(limits.connect_timeout_s):
            await _open(address, pipeline)
            replies = [pipeline.ask(command) for command in _greeting(address)]
            # The name is a courtesy that an access rule may forbid; the rest has to be accepted.
            *needed, _ = await asyncio.gather(*replies, return_exceptions=True)
        for reply in needed:
            if isinstance(reply, BaseException):
                raise reply
    except TimeoutError:
        pipeline.drop("timeout")
        raise RedisFault("timeout") from None
    except OSError:
        pipeline.drop("connect")
        raise RedisFault("connect") from None
    except BaseException:
        pipeline.drop("connect")
        raise
    return pipeline


def pack(*command: str | bytes | int) -> bytes:
    """Write a command as Redis reads it."""
    packed: bytes = hiredis.pack_command(command)  # type: ignore[arg-type]
    return packed


async def _open(address: RedisAddress, pipeline: Pipeline) -> None:
    loop = asyncio.get_running_loop()
    if address.path is not None:
        await loop.create_unix_connection(lambda: pipeline, address.path)
        return
    transport, _ = await loop.create_connection(
        lambda: pipeline, address.host, address.port, ssl=address.tls
    )
    keep_alive(transport.get_extra_info("socket"))


def _greeting(address: RedisAddress) -> list[bytes]:
    commands = []
    if address.password is not None:
        user = () if address.username is None else (address.username,)
        commands.append(pack("AUTH", *user, address.password))
    if address.database:
        commands.append(pack("SELECT", address.database))
    return [*commands, pack("CLIENT", "SETNAME", CLIENT_NAME)]
