"""A response that is made of bytes from the start."""

from typing import Final

from starlette.responses import Response

_JSON: Final = (b"content-type", b"application/json")


class Finished(Response):
    """JSON, or nothing at all, with headers that need no encoding and no checks.

    Args:
        status: its code.
        headers: in lower case; type and length are added where there is a body.
        body: JSON, None for none.
    """

    def __init__(
        self, status: int, headers: list[tuple[bytes, bytes]], body: bytes | None = None
    ) -> None:
        self.status_code = status
        self.body = body or b""
        self.background = None
        if body is not None:
            headers += (_JSON, (b"content-length", b"%d" % len(body)))
        self.raw_headers = headers
