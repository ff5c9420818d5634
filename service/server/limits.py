"""How long and how much a connection may take, and how many there may be."""

import resource
from dataclasses import dataclass
from typing import Final, Self

from service.settings import Settings

HEADER_BYTES_MAX: Final = 16 << 10
HEADERS_MAX: Final = 100
# Index files, Redis, the log, and some air.
_OTHER_FILES: Final = 128


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """Bounds of one connection, times in seconds. `connections` is how many may be open."""

    header_s: float
    """From the first byte of a request, or from connecting, to the end of its headers."""
    body_s: float
    """From the end of the headers to the end of the body."""
    keep_alive_s: float
    """From an answer to the first byte of the next request."""
    write_s: float
    """For a client that does not read what it asked for."""
    body_bytes: int
    connections: int

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Read them from the settings, and make room for the connections."""
        return cls(
            header_s=settings.header_timeout_s,
            body_s=settings.body_timeout_s,
            keep_alive_s=settings.keep_alive_s,
            write_s=settings.write_timeout_s,
            body_bytes=settings.max_body_bytes,
            connections=min(settings.connections_max, _room_for_connections()),
        )


def _room_for_connections() -> int:
    """Raise the soft limit of open files to the hard one; what it leaves for connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard or hard == resource.RLIM_INFINITY:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
        except (OSError, ValueError):
            # Some systems name a hard limit that they do not grant.
            pass
    return max(soft - _OTHER_FILES, 16) if soft != resource.RLIM_INFINITY else 1 << 20
