"""Connections to Redis with every option written down, because the library's defaults move.

redis-py 8 waits 5 s and retries 10 times by default, version 7 did neither; a test compares these
options with the library's own list, so that a new one cannot slip in unseen.
"""

import asyncio
import socket
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qs, urlsplit

from redis.asyncio import (
    BlockingConnectionPool,
    Connection,
    SSLConnection,
    UnixDomainSocketConnection,
)
from redis.asyncio.connection import AbstractConnection, parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.maint_notifications import MaintNotificationsConfig

from service.errors import InvalidSettings

CLIENT_NAME: Final = "magpie"
"""How our connections are called in `CLIENT LIST`."""

_CONNECTION_CLASSES: Final[dict[str, type[AbstractConnection]]] = {
    "redis": Connection,
    "rediss": SSLConnection,
    "unix": UnixDomainSocketConnection,
}
_KEEPALIVE: Final = (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3))
_URL_HINT: Final = "Write redis://[user:password@]host[:port][/database], rediss:// or unix://."


@dataclass(frozen=True, slots=True)
class RedisLimits:
    """How long an operation may take and how much it may carry.

    `budget_s` bounds a whole operation: waiting for a connection, connecting, asking, reading.
    Within it redis-py needs no timeout of its own, which would cost it a task for every write and
    a timer for every read; so `socket_timeout_s` is None: no timeout, not the library's default.
    """

    budget_s: float = 0.050
    connect_timeout_s: float = 0.050
    socket_timeout_s: float | None = None
    pool_wait_s: float = 0.020
    max_connections: int = 16
    max_value_bytes: int = 1 << 20


def open_pool(url: str, limits: RedisLimits) -> BlockingConnectionPool:
    """Build a pool for a URL; nothing is connected before the first use.

    Args:
        url: `redis://`, `rediss://` or `unix://`, with user, password and database where needed,
            and redis-py's `ssl_*` options for `rediss://`. Other options in the URL are refused:
            redis-py would let them overrule the limits.
        limits: timeouts and sizes.

    Raises:
        InvalidSettings: the URL cannot be used. The message never repeats it, as it may hold a
            password.
    """
    connection_class, location = _location(url)
    return BlockingConnectionPool(
        max_connections=limits.max_connections,
        timeout=limits.pool_wait_s,
        connection_class=connection_class,
        queue_class=asyncio.LifoQueue,
        socket_timeout=limits.socket_timeout_s,
        socket_connect_timeout=limits.connect_timeout_s,
        socket_read_size=1 << 16,
        retry=Retry(NoBackoff(), 0),
        retry_on_timeout=False,
        retry_on_error=[],
        health_check_interval=0,
        # RESP2 needs no HELLO and has no push messages that could come between command and reply.
        protocol=2,
        legacy_responses=True,
        # With these notifications redis-py stops checking pooled connections for left-over bytes.
        maint_notifications_config=MaintNotificationsConfig(enabled=False),
        decode_responses=False,
        encoding="utf-8",
        encoding_errors="strict",
        client_name=CLIENT_NAME,
        driver_info=None,
        redis_connect_func=None,
        credential_provider=None,
        **location,
    )


def _location(url: str) -> tuple[type[AbstractConnection], dict[str, object]]:
    try:
        parts = urlsplit(url)
        options: dict[str, object] = dict(parse_url(url))
    except ValueError:
        # `from None`: the original quotes the URL.
        raise InvalidSettings("The Redis URL cannot be read.", _URL_HINT) from None
    refused = [
        name for name in parse_qs(parts.query) if name != "db" and not name.startswith("ssl_")
    ]
    if refused:
        raise InvalidSettings(
            f"The Redis URL sets {', '.join(refused)}.", "These options are fixed; remove them."
        )
    connection_class = _CONNECTION_CLASSES[parts.scheme]
    options.pop("connection_class", None)
    defaults: dict[str, object] = {"db": 0, "username": None, "password": None}
    if parts.scheme != "unix":
        if parts.path.strip("/") and "db" not in options:
            raise InvalidSettings("The Redis URL names a database that is no number.", _URL_HINT)
        defaults |= {"host": "localhost", "port": 6379, **_tcp_options()}
    return connection_class, defaults | options


def _tcp_options() -> dict[str, object]:
    # macOS lacks some of these; there the system's own values apply.
    keepalive = {
        getattr(socket, name): value for name, value in _KEEPALIVE if hasattr(socket, name)
    }
    return {"socket_keepalive": True, "socket_keepalive_options": keepalive, "socket_type": 0}
