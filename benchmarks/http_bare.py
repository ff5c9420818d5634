"""The ceiling: an ASGI application that returns the same bytes to whatever it is asked."""

import os
from pathlib import Path

from starlette.types import ASGIApp, Receive, Scope, Send


def create() -> ASGIApp:
    """Answer with the bytes of the file that BARE_BODY names, and the headers of an answer."""
    body = Path(os.environ["BARE_BODY"]).read_bytes()
    start = {
        "type": "http.response.start",
        "status": 200,
        "headers": [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
        ],
    }
    end = {"type": "http.response.body", "body": body}

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await send(start)
            await send(end)

    return app
