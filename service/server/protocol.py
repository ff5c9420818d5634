"""HTTP/1.1 on one connection, with limits on size and time of what a client sends and reads.

uvicorn's own class has no deadline for headers or body, starts its keep-alive timer anew with
each byte, and accepts header blocks of any size. A slow or greedy client must cost a connection
and nothing else.
"""

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, NamedTuple

import httptools
from uvicorn._types import ASGI3Application
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from service.api.errors import raw_problem
from service.api.lifespan import Services
from service.server.cycle import JoinedCycle
from service.server.limits import HEADER_BYTES_MAX, HEADERS_MAX

if TYPE_CHECKING:
    from service.server.server import ServerConfig

_IDLE, _HEAD, _BODY, _ANSWER = range(4)


class _Refusal(NamedTuple):
    status: HTTPStatus
    code: str
    detail: str


_MALFORMED: Final = _Refusal(HTTPStatus.BAD_REQUEST, "malformed_request", "This is not HTTP/1.1.")
_HEADERS_TOO_LARGE: Final = _Refusal(
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    "headers_too_large",
    f"At most {HEADERS_MAX} headers of {HEADER_BYTES_MAX} bytes together, the URL included.",
)
_TOO_SLOW: Final = _Refusal(
    HTTPStatus.REQUEST_TIMEOUT, "request_too_slow", "The request did not arrive in time."
)
_TOO_MANY: Final = _Refusal(
    HTTPStatus.SERVICE_UNAVAILABLE, "too_many_connections", "Try again after a moment."
)


class _Refused(Exception):
    """Leaves the parser from inside one of its callbacks."""


class LimitedProtocol(HttpToolsProtocol):
    """uvicorn's protocol on httptools, with the limits of `ServerConfig`.

    Deadlines are looked at by `expire`, which the server calls for all connections a few times a
    second: a timer for each request would cost more than it is worth.
    """

    def __init__(
        self,
        config: "ServerConfig",
        server_state: ServerState,
        app_state: dict[str, object],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        base: Config = config
        super().__init__(base, server_state, app_state, _loop)
        self._limits = config.limits
        self._readiness = config.readiness
        self._rejected = config.metrics.rejected
        # A connection that never says anything is as slow as one that says it by bytes.
        self._phase = _HEAD
        self._since = self.loop.time()
        self._stuck_since = 0.0
        # Of the chunk being parsed; of all chunks with a part of this head; of the first of them,
        # which may begin with the end of an earlier request.
        self._chunk_bytes = self._fed_bytes = self._first_bytes = 0
        self._body_bytes = 0
        self._refusal: _Refusal | None = None
        services = app_state.get("services")
        self._doorman = services.doorman if isinstance(services, Services) else None
        self._route: str | None = None
        self._held = bytearray()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Accept a client; where there are too many, at the cost of the longest idle one."""
        super().connection_made(transport)
        if len(self.connections) > self._limits.connections:
            self._make_room()

    def data_received(self, data: bytes) -> None:
        """Parse; anything that is wrong or too much is answered here, and ends the connection."""
        self._chunk_bytes = len(data)
        self._fed_bytes += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # We speak nothing else; the request itself is answered like any other.
            return
        except httptools.HttpParserError:
            self._refuse(self._refusal or _MALFORMED)
            return
        # One header may come in many pieces, of which the parser tells only the end.
        if self._phase == _HEAD and self._fed_bytes - self._first_bytes > HEADER_BYTES_MAX:
            self._refuse(_HEADERS_TOO_LARGE)

    def on_message_begin(self) -> None:
        """First byte of a request."""
        super().on_message_begin()
        self._phase, self._since = _HEAD, self.loop.time()
        self._fed_bytes = self._first_bytes = self._chunk_bytes
        self._body_bytes = 0

    def on_headers_complete(self) -> None:
        """Start the application, unless the head alone is reason not to.

        While requests are turned away, wait for the body, which mostly came along: so that most
        of them cost neither a task nor anything of the framework.
        """
        if len(self.headers) > HEADERS_MAX or self._is_head_too_large():
            self._leave_parser(_HEADERS_TOO_LARGE)
        for name, value in self.headers:
            # The parser has made sure that it is a number.
            if name == b"content-length" and int(value) > self._limits.body_bytes:
                self._leave_parser(self._body_too_large())
        self._phase, self._since = _BODY, self.loop.time()
        doorman = self._doorman
        if doorman is not None and doorman.is_busy and self._can_hold():
            self._route = doorman.route_of(self.parser.get_method(), self.url)
        if self._route is None:
            self._start()

    def _start(self) -> None:
        super().on_headers_complete()
        if self._readiness.is_draining:
            # So that clients come back elsewhere.
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        """Pass a piece of the body on, whatever length was promised."""
        self._body_bytes += len(body)
        if self._body_bytes > self._limits.body_bytes:
            self._leave_parser(self._body_too_large())
        if self._route is None:
            super().on_body(body)
        else:
            self._held += body

    def on_message_complete(self) -> None:
        """Last byte of a request."""
        if self._route is not None and self._is_turned_away(self._route):
            return
        super().on_message_complete()
        # An application may have answered without reading the body.
        self._phase = _IDLE if self.cycle.response_complete else _ANSWER
        self._since = self.loop.time()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        if self._doorman is not None:
            self._doorman.gate.announce()
        # uvicorn makes it by the name of its own class; nothing of it has run yet.
        cycle.__class__ = JoinedCycle
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        """Take the next request of a client that sent several, else wait for one."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        elif self._phase == _ANSWER:
            self._phase, self._since = _IDLE, self.loop.time()

    def pause_writing(self) -> None:
        """Buffers are full: the client does not read."""
        super().pause_writing()
        self._stuck_since = self.loop.time()

    def expire(self, now: float) -> None:
        """End the connection if its client had its time; `now` is on the loop's clock."""
        limits, age = self._limits, now - self._since
        if self.transport.is_closing():
            self._stuck_since = self._stuck_since or now
            if now - self._stuck_since > limits.write_s:
                self.transport.abort()
        elif self._phase == _IDLE:
            if age > limits.keep_alive_s:
                self.transport.close()
        elif self._phase == _ANSWER:
            if self.flow.write_paused and now - self._stuck_since > limits.write_s:
                self.transport.abort()
        elif age > (limits.header_s if self._phase == _HEAD else limits.body_s):
            self._refuse(_TOO_SLOW)

    def _can_hold(self) -> bool:
        """Whether nothing else is under way here, and the client waits for nothing."""
        is_free = self.cycle is None or self.cycle.response_complete
        return is_free and not self.expect_100_continue

    def _is_turned_away(self, route: str) -> bool:
        """Refuse a request that was held, or give it to the application after all."""
        body, self._held, self._route = bytes(self._held), bytearray(), None
        keep_alive = self.parser.should_keep_alive() and not self._readiness.is_draining
        assert self._doorman is not None
        refusal = self._doorman.refusal(route, self.url, body, keep_alive=keep_alive)
        if refusal is None:
            self._start()
            if body:
                super().on_body(body)
            return False
        self._phase, self._since = _IDLE, self.loop.time()
        self.server_state.total_requests += 1
        self.transport.write(refusal)
        if not keep_alive:
            self.transport.close()
        return True

    def _is_head_too_large(self) -> bool:
        if self._fed_bytes <= HEADER_BYTES_MAX:
            return False
        # The chunks may hold more than the head.
        fields = sum(len(name) + len(value) + 4 for name, value in self.headers)
        return len(self.url) + fields > HEADER_BYTES_MAX

    def _body_too_large(self) -> _Refusal:
        return _Refusal(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            "body_too_large",
            f"A body may have {self._limits.body_bytes} bytes.",
        )

    def _leave_parser(self, refusal: _Refusal) -> None:
        self._refusal = refusal
        raise _Refused

    def _refuse(self, refusal: _Refusal) -> None:
        self._rejected.labels(str(refusal.status.value)).inc()
        cycle = self.cycle
        is_answering = cycle is not None and not cycle.response_complete
        if self.pipeline or (is_answering and (cycle.response_started or self._phase == _HEAD)):
            # An earlier answer is due first; this one in its place would be taken for it.
            self.transport.abort()
        else:
            self.transport.write(raw_problem(*refusal))
            self.transport.close()
        if is_answering:
            cycle.disconnected = True
            cycle.message_event.set()

    def _make_room(self) -> None:
        idle = [
            each
            for each in self.connections
            if isinstance(each, LimitedProtocol) and each._phase == _IDLE
        ]
        if idle:
            min(idle, key=lambda each: each._since).transport.close()
        else:
            self._refuse(_TOO_MANY)
