"""One serving process: listen, serve, and leave without losing a request."""

import asyncio
import gc
import logging
import signal
import socket
import time
from types import FrameType
from typing import Final, NamedTuple

import uvicorn
from starlette.types import ASGIApp

from service.api.admin import create_admin_app
from service.api.app import create_app
from service.api.metrics import Metrics
from service.api.readiness import Readiness
from service.errors import InvalidSettings
from service.index.live import Live
from service.server.limits import HttpLimits
from service.server.protocol import LimitedProtocol
from service.server.pulse import Pulse
from service.settings import Settings

_log = logging.getLogger(__name__)

GRACE_S: Final = 10
"""How long requests under way may take once nothing new is accepted."""

UNREADY_LAG_S: Final = 1.0
"""A loop that stood still for so long is not where a balancer should send traffic."""

# How long uvicorn sleeps between two ticks.
_TICK_S: Final = 0.1
_BACKLOG: Final = 2048
# uvloop accepts one connection of a listener in each turn of the loop. When turns take long, that
# is when many come, new clients would wait for seconds.
_ACCEPTS_PER_TURN: Final = 8
# New containers until the collector goes through them, and its looks until it goes through those
# that it has seen before, too. Requests leave it nothing to find, but with thirty of them under way
# Python's own 700 are reached in each turn of the loop.
_COLLECT_AFTER: Final = (2_000, 5, 10)
# Bounds what one client can make the kernel, and then us, hold before we look at it.
_RECEIVE_BUFFER_BYTES: Final = 64 << 10


class ServerConfig(uvicorn.Config):
    """uvicorn's settings, and what our protocol and server need beside them."""

    def __init__(
        self, app: ASGIApp, settings: Settings, readiness: Readiness, metrics: Metrics
    ) -> None:
        super().__init__(
            app,
            http=LimitedProtocol,
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            # Strangers may write what they like into X-Forwarded-For.
            proxy_headers=bool(settings.trusted_proxies),
            forwarded_allow_ips=settings.trusted_proxies,
            backlog=_BACKLOG,
            timeout_graceful_shutdown=GRACE_S,
        )
        self.limits = HttpLimits.of(settings)
        self.readiness = readiness
        self.metrics = metrics
        self.drain_s = settings.drain_s


class Admin(NamedTuple):
    """A listener of its own for those who steer the service."""

    config: ServerConfig
    listener: socket.socket


class Server(uvicorn.Server):
    """uvicorn's server, with deadlines for its connections, and a drain.

    SIGTERM makes it unready at once. It goes on serving for `drain_s`, until every balancer has
    seen that, then accepts nothing more and finishes what it has. SIGINT, or a second SIGTERM,
    skips the wait. Either way `run` returns, so that the process can end with 0.
    """

    config: ServerConfig

    def __init__(
        self, config: ServerConfig, admin: Admin | None = None, pulse: Pulse | None = None
    ) -> None:
        super().__init__(config)
        self._pulse = pulse
        self._doubles: list[socket.socket] = []
        self._leaves_at = float("inf")
        self._admin = admin
        self._tick_due = float("inf")

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Open the application, then listen; for admins too, where that is wanted."""
        self._doubles = [double for each in sockets or () for double in doubles(each)]
        await super().startup([*(sockets or ()), *self._doubles])
        # What was opened stays: a full collection would go through all of it, for a tenth of a
        # second, while nobody is answered.
        gc.collect()
        gc.freeze()
        gc.set_threshold(*_COLLECT_AFTER)
        if self._admin is None:
            return
        config, listener = self._admin
        config.load()

        def create_protocol() -> LimitedProtocol:
            # The same state: what was opened, the deadlines, and the end are one.
            return LimitedProtocol(config, self.server_state, self.lifespan.state)

        loop = asyncio.get_running_loop()
        self.servers.append(await loop.create_server(create_protocol, sock=listener))

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to leave."""
        readiness = self.config.readiness
        if sig == signal.SIGINT or readiness.is_draining:
            self.force_exit = self.should_exit
            self.should_exit = True
        else:
            self._leaves_at = time.monotonic() + self.config.drain_s
        readiness.is_draining = True

    async def on_tick(self, counter: int) -> bool:
        """End connections whose time is up, and the process when its time has come."""
        now = time.monotonic()
        self._note_lag(now - self._tick_due)
        is_alone = self._pulse is not None and not self._pulse.beat()
        if is_alone and not self.config.readiness.is_draining:
            _log.error("the supervisor is gone: this worker ends, too")
            self.handle_exit(signal.SIGTERM, None)
        for connection in list(self.server_state.connections):
            assert isinstance(connection, LimitedProtocol)
            connection.expire(connection.loop.time())
        if now >= self._leaves_at:
            self.should_exit = True
        is_over = await super().on_tick(counter)
        self._tick_due = time.monotonic() + _TICK_S
        return is_over

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept nothing more, finish what there is."""
        if self._pulse is not None:
            self._pulse.leave()
        await super().shutdown([*(sockets or ()), *self._doubles])

    def _note_lag(self, lag_s: float) -> None:
        self.config.metrics.loop_lag.observe(max(lag_s, 0.0))
        if lag_s >= UNREADY_LAG_S:
            self.config.readiness.lagged()
            _log.warning("the event loop stood still for %.1f s", lag_s)


def serve_here(
    settings: Settings,
    live: Live,
    listener: socket.socket,
    admin_listener: socket.socket | None = None,
    pulse: Pulse | None = None,
) -> None:
    """Serve in this process until it is told to end.

    Args:
        settings: what to serve and how.
        live: the index, opened.
        listener: of the public application.
        admin_listener: of the admin application, where it is wanted here.
        pulse: where a supervisor listens, if there is one.
    """
    readiness, metrics = Readiness(), Metrics()
    app = create_app(settings, live, readiness=readiness, metrics=metrics)
    admin = None
    if admin_listener is not None:
        steering = create_admin_app(app.guard, metrics)
        admin = Admin(ServerConfig(steering, settings, readiness, metrics), admin_listener)
    Server(ServerConfig(app, settings, readiness, metrics), admin, pulse).run([listener])


def doubles(listener: socket.socket) -> list[socket.socket]:
    """Further handles of a listener, so that several connections are accepted in a turn."""
    # First, as a double is made to block like its original. Workers share it, and one that is late
    # for a connection would wait for the next.
    listener.setblocking(False)
    return [listener.dup() for _ in range(_ACCEPTS_PER_TURN - 1)]


def listen(host: str, port: int) -> socket.socket:
    """Bind and listen.

    Raises:
        InvalidSettings: the address is taken or not ours.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise InvalidSettings(
            f"Cannot listen on {host} port {port}: {error.strerror}.",
            "Choose another with --host, --port, or end what listens there.",
        ) from None
    listener.setblocking(False)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)
    return listener
