"""Who waits for an answer: until when, and whether anybody is still there."""

import asyncio
import time
from http import HTTPStatus
from types import TracebackType
from typing import Self

from starlette.requests import Request
from starlette.types import Message, Receive

from service.api.deadlines import Deadlines
from service.api.errors import RequestRefused, request_id_of
from service.errors import DeadlineExceeded

TIMEOUT_HEADER = "request-timeout-ms"
"""How long the client will wait. No standard names it; Baseten's clients send it like this."""

_NAME = TIMEOUT_HEADER.encode("ascii")

TIMEOUT_PARAMETER = {
    "name": "Request-Timeout-Ms",
    "in": "header",
    "required": False,
    "schema": {"type": "integer", "minimum": 1, "maximum": 999_999_999},
    "description": "How long you will wait, in milliseconds. The service has a limit of its own.",
}

# Queues look at the deadline themselves and know best what was waiting; they come first.
_QUEUES_FIRST_S = 0.005
# Most waits are shorter, and to listen for a client that hangs up costs a task.
_UNWATCHED_S = 0.05


class Caller:
    """A block that ends early when nobody waits for its outcome any more.

    `with caller:` raises DeadlineExceeded once the deadline has passed, and RequestRefused once
    the client has hung up, if `watch` was called. Use it once, in one task.

    Args:
        request_id: names the request.
        deadline: on the clock of `time.monotonic`.
        deadlines: those of the process.
        receive: the ASGI channel of a request whose body has been read.
    """

    def __init__(
        self, request_id: str, deadline: float, deadlines: Deadlines, receive: Receive
    ) -> None:
        self.request_id = request_id
        self.deadline = deadline
        self.due_at = self._ends_at = deadline
        self._deadlines = deadlines
        self._receive = receive
        self._task: asyncio.Task[object] | None = None
        self._cancelling = 0
        self._is_ended = False
        self._watcher: asyncio.Task[None] | None = None

    @classmethod
    def of(cls, request: Request, timeout_s: float, deadlines: Deadlines) -> Self:
        """Read how long the client will wait; at most, and by default, `timeout_s`.

        Raises:
            RequestRefused: the header is not a whole number of milliseconds from 1 on.
        """
        wanted = None
        for name, value in request.scope["headers"]:
            if name == _NAME and wanted is None:
                wanted = value
        if wanted is not None:
            if not (wanted.isdigit() and len(wanted) < 10 and int(wanted)):
                raise RequestRefused(
                    HTTPStatus.BAD_REQUEST,
                    "invalid_timeout",
                    "Request-Timeout-Ms must be a whole number of milliseconds, 1 or more.",
                )
            timeout_s = min(timeout_s, int(wanted) / 1e3)
        deadline = time.monotonic() + timeout_s
        return cls(request_id_of(request), deadline, deadlines, request.receive)

    @classmethod
    def nobody(cls, timeout_s: float, deadlines: Deadlines) -> Self:
        """Stand in where work goes on in the background, with nobody to hang up."""
        return cls("", time.monotonic() + timeout_s, deadlines, _never)

    def watch(self) -> None:
        """If the wait that begins here gets long, end the block also when the client hangs up."""
        if self._watcher is None:
            self.due_at = min(self._ends_at, time.monotonic() + _UNWATCHED_S)

    def __enter__(self) -> Self:
        self._task = asyncio.current_task()
        assert self._task is not None, "a caller waits in a task"
        self._cancelling = self._task.cancelling()
        self.due_at = self._ends_at = max(self.deadline, time.monotonic()) + _QUEUES_FIRST_S
        self._deadlines.add(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        task, self._task = self._task, None
        assert task is not None
        self._deadlines.discard(self)
        has_left = False
        if self._watcher is not None:
            has_left = self._watcher.done()
            self._watcher.cancel()
        # As asyncio.timeout does it: a task that somebody else has cancelled as well goes on being
        # cancelled.
        is_ours = self._is_ended and task.uncancel() <= self._cancelling
        if not is_ours or kind is not asyncio.CancelledError:
            return
        if has_left:
            raise RequestRefused(
                HTTPStatus.REQUEST_TIMEOUT, "client_left", "The client hung up."
            ) from None
        raise DeadlineExceeded(
            "The time for this request was up.", "Try again, or allow it more time."
        ) from None

    def come_due(self) -> None:
        """Listen for the client from now on, or end the block: whichever it is time for."""
        if time.monotonic() >= self._ends_at:
            self._end()
        elif self._watcher is None:
            self.due_at = self._ends_at
            self._watcher = asyncio.create_task(self._hung_up())
            self._watcher.add_done_callback(self._give_up)

    def _end(self) -> None:
        if self._task is not None and not self._is_ended:
            self._is_ended = True
            self._task.cancel()

    async def _hung_up(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass

    def _give_up(self, watcher: asyncio.Task[None]) -> None:
        if not watcher.cancelled():
            self._end()


async def _never() -> Message:
    await asyncio.Event().wait()
    raise AssertionError("an event that nobody sets was set")
