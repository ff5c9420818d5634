"""One system call for an answer: its head leaves together with its body.

uvicorn writes the head of an answer when the application begins it, and the body when that comes,
mostly a moment later. Each write goes to the kernel at once, which takes longer than all that the
protocol does for a request, and wakes up the client twice.
"""

import asyncio
from typing import Final

_HEAD: Final = b"HTTP/1.1 "
# `100 Continue` is no answer: the client waits for it before it sends the body.
_INTERIM: Final = b"HTTP/1.1 1"
_HEAD_END: Final = b"\r\n\r\n"


class JoinedWrites(asyncio.Transport):
    """A transport that holds the head of an answer back until the next write, or until `flush`.

    Args:
        transport: what it writes to.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        super().__init__()
        self._transport = transport
        self._head = b""
        # Asked for with every request; nothing to add to them.
        self.is_closing = transport.is_closing  # type: ignore[method-assign]
        self.get_extra_info = transport.get_extra_info  # type: ignore[method-assign]
        self.pause_reading = transport.pause_reading  # type: ignore[method-assign]
        self.resume_reading = transport.resume_reading  # type: ignore[method-assign]

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Write, or keep what is a head and nothing else."""
        if self._head:
            head, self._head = self._head, b""
            self._transport.writelines((head, data))
        elif isinstance(data, bytes) and _is_head(data):
            self._head = data
        else:
            self._transport.write(data)

    def flush(self) -> None:
        """Write a head that is still here: its answer has no body."""
        if self._head:
            head, self._head = self._head, b""
            self._transport.write(head)

    def close(self) -> None:
        """Write what is here, then close."""
        self.flush()
        self._transport.close()

    def abort(self) -> None:
        """Drop what is here, and the connection."""
        self._head = b""
        self._transport.abort()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Hand the connection over."""
        self._transport.set_protocol(protocol)


def _is_head(data: bytes) -> bool:
    return data.endswith(_HEAD_END) and data.startswith(_HEAD) and not data.startswith(_INTERIM)
