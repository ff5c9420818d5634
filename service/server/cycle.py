"""One system call for an answer: its head leaves together with its body.

uvicorn writes the head of an answer when the application begins it, and the body when that comes,
mostly a moment later. Each write goes to the kernel at once, which takes longer than all that the
protocol does for a request, and wakes up the client twice.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, cast

from starlette.types import Message
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

if TYPE_CHECKING:
    from uvicorn._types import ASGISendEvent

_LENGTH: Final = b"content-length"
# What decides more than itself; uvicorn sees to these.
_UNUSUAL: Final = frozenset((b"connection", b"transfer-encoding"))


class JoinedCycle(RequestResponseCycle):
    """A request and its answer. An answer in one piece, of known length, leaves in one write.

    Everything else goes uvicorn's way: streams, refusals to keep the connection, HEAD.
    """

    _head = b""

    async def send(self, message: "ASGISendEvent") -> None:
        """Take the next part of the answer from the application."""
        given = cast(Message, message)
        if self.disconnected or self.flow.write_paused or not self.keep_alive:
            await self._send_apart(message)
        elif not self.response_started:
            head = self._joined(given) if given["type"] == "http.response.start" else b""
            if head:
                self._head = head
                self.response_started = True
                self.waiting_for_100_continue = self.chunked_encoding = False
            else:
                await super().send(message)
        elif self._head and self._is_whole(given):
            head, self._head = self._head, b""
            self.transport.writelines((head, given["body"]))
            self.response_complete = True
            self.message_event.set()
            self.on_response()
        else:
            await self._send_apart(message)

    async def _send_apart(self, message: "ASGISendEvent") -> None:
        head, self._head = self._head, b""
        if head and not self.disconnected:
            self.transport.write(head)
        await super().send(message)

    def _is_whole(self, message: Message) -> bool:
        is_last = message["type"] == "http.response.body" and not message.get("more_body", False)
        return is_last and len(message.get("body", b"")) == self.expected_content_length > 0

    def _joined(self, message: Message) -> bytes:
        """The head of an answer of known length, empty where there is more to think of."""
        headers: Sequence[tuple[bytes, bytes]] = [
            *self.default_headers,
            *message.get("headers", ()),
        ]
        length = -1
        for name, value in headers:
            if name == _LENGTH:
                length = int(value)
            elif name in _UNUSUAL:
                return b""
        lines = b"\r\n".join(map(b": ".join, headers))
        head = b"%b%b\r\n\r\n" % (STATUS_LINE[message["status"]], lines)
        # A line that nobody meant would be a header, or an answer, that nobody meant.
        is_whole = head.count(b"\r") == head.count(b"\n") == len(headers) + 2
        is_sound = is_whole and b"\0" not in head
        if length < 0 or not is_sound or self.scope["method"] == "HEAD":
            return b""
        self.expected_content_length = length
        return head
