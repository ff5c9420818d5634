"""Run another script after laying a wire: every attempt to leave this machine is a line in a log.

Usage: tripwire.py LOG SCRIPT [ARGUMENT ...]
"""

import ipaddress
import os
import runpy
import sys

_SENDS = ("socket.connect", "socket.sendto", "socket.sendmsg")
_LOOKUPS = ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr")


def is_inside(host: object) -> bool:
    """Tell loopback, and no host at all, from everything else; a name is never inside."""
    text = host.decode("ascii", "replace") if isinstance(host, bytes) else host
    if text in (None, "", "localhost"):
        return True
    try:
        return ipaddress.ip_address(str(text)).is_loopback
    except ValueError:
        return False


def host_of(event: str, arguments: tuple[object, ...]) -> object:
    """The host that an audit event goes to; None where there is none."""
    if event in _LOOKUPS:
        return arguments[0]
    # A path is a Unix socket; no address at all means that the socket is connected already.
    address = arguments[1] if event in _SENDS else None
    return address[0] if isinstance(address, tuple) and address else None


def main() -> None:
    log = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def wire(event: str, arguments: tuple[object, ...]) -> None:
        host = host_of(event, arguments)
        if not is_inside(host):
            os.write(log, f"{event} {host!r}\n".encode())

    sys.addaudithook(wire)
    sys.argv = sys.argv[2:]
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main()
