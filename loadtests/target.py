"""Where a load test may be aimed: this machine, unless the caller says the other one is theirs."""

from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit


class TargetRefused(Exception):
    """A host that a load test must not, or cannot, be aimed at."""


@dataclass(frozen=True, slots=True)
class Target:
    """A service's root. `url` has no path and no trailing slash."""

    scheme: str
    host: str
    port: int

    @property
    def url(self) -> str:
        """Root URL, for instance http://127.0.0.1:8000."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


def parse_target(url: str, *, is_owned: bool) -> Target:
    """Read a root URL and refuse other people's machines.

    Args:
        url: http or https, host and port only. Credentials are refused: they would end up in
            the reports.
        is_owned: the caller states that a host other than this one is theirs to load.

    Raises:
        TargetRefused: not such a URL, or not a loopback address and not stated to be owned.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise TargetRefused("The host must be a URL such as http://127.0.0.1:8000.")
    if parts.username or parts.password or parts.path.strip("/") or parts.query:
        raise TargetRefused("The host must be scheme, name and port only.")
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        raise TargetRefused("The port must be a number from 1 to 65535.") from None
    if not is_owned and not _is_loopback(parts.hostname):
        raise TargetRefused(
            f"{parts.hostname} is not this machine. A load test on someone else's is an attack; "
            "if it is yours, add --i-own-this-host."
        )
    return Target(parts.scheme, parts.hostname, port)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
