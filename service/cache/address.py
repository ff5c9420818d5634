"""Where Redis is and who we are there, from a URL that operators know from redis-py."""

import socket
import ssl
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qs, urlsplit

from service.errors import InvalidSettings

_SCHEMES: Final = ("redis", "rediss", "unix")
_KEEPALIVE: Final = (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3))
_HINT: Final = "Write redis://[user:password@]host[:port][/database], rediss:// or unix://."


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """A server, over TCP (`host`, `port`) or a Unix socket (`path`), and how to log in there."""

    host: str = "localhost"
    port: int = 6379
    path: str | None = None
    database: int = 0
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: ssl.SSLContext | None = None

    @classmethod
    def parse(cls, url: str) -> "RedisAddress":
        """Read a URL.

        Args:
            url: `redis://`, `rediss://` or `unix://`, with user, password and database where
                needed, and redis-py's `ssl_*` options for `rediss://`. Its other options are
                refused: limits are ours to set.

        Raises:
            InvalidSettings: the URL cannot be used. The message never repeats it, as it may hold
                a password.
        """
        options, scheme = _read(url)
        tls = _tls(options) if scheme == "rediss" else None
        given = {_FIELDS[name]: options[name] for name in _FIELDS if name in options}
        return cls(**given, tls=tls)  # type: ignore[arg-type]


_FIELDS: Final[dict[str, str]] = {
    "host": "host",
    "port": "port",
    "path": "path",
    "db": "database",
    "username": "username",
    "password": "password",
}


def keep_alive(connected: socket.socket) -> None:
    """Let the system notice a peer that vanished without a word, also while nothing is asked."""
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE:
        # macOS lacks some of these; there the system's own values apply.
        if hasattr(socket, name):
            connected.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _read(url: str) -> tuple[dict[str, object], str]:
    # A tenth of a second that commands without Redis need not wait for.
    from redis.asyncio.connection import parse_url

    try:
        parts = urlsplit(url)
        options: dict[str, object] = dict(parse_url(url))
    except ValueError:
        # `from None`: the original quotes the URL.
        raise InvalidSettings("The Redis URL cannot be read.", _HINT) from None
    if parts.scheme not in _SCHEMES:
        raise InvalidSettings("The Redis URL cannot be read.", _HINT)
    refused = [
        name for name in parse_qs(parts.query) if name != "db" and not name.startswith("ssl_")
    ]
    if refused:
        raise InvalidSettings(
            f"The Redis URL sets {', '.join(refused)}.", "These options are fixed; remove them."
        )
    if parts.scheme != "unix" and parts.path.strip("/") and "db" not in options:
        raise InvalidSettings("The Redis URL names a database that is no number.", _HINT)
    return options, parts.scheme


def _tls(options: dict[str, object]) -> ssl.SSLContext:
    from redis.asyncio import SSLConnection

    try:
        # redis-py knows what its options mean, and checks certificate and host name by default.
        options = {key: value for key, value in options.items() if key != "connection_class"}
        connection = SSLConnection(**options)  # type: ignore[arg-type]
        context: ssl.SSLContext = connection.ssl_context.get()
    except (TypeError, ValueError, OSError):
        raise InvalidSettings(
            "The Redis URL has TLS options that cannot be used.",
            "They are named as in redis-py: ssl_ca_certs, ssl_certfile, ssl_keyfile, …",
        ) from None
    return context
