"""The first process in a new network namespace: raise loopback, then become another command.

Usage: gate.py COMMAND [ARGUMENT ...]
"""

import fcntl
import os
import socket
import struct
import sys
from pathlib import Path

# From linux/sockios.h and linux/if.h.
_GET_FLAGS, _SET_FLAGS, _IS_UP = 0x8913, 0x8914, 0x1
_REQUEST = "16sh22x"


def raise_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        found = fcntl.ioctl(probe, _GET_FLAGS, struct.pack(_REQUEST, b"lo", 0))
        flags = struct.unpack(_REQUEST, found)[1] | _IS_UP
        fcntl.ioctl(probe, _SET_FLAGS, struct.pack(_REQUEST, b"lo", flags))


if __name__ == "__main__":
    raise_loopback()
    routes = Path("/proc/net/route").read_text(encoding="ascii").splitlines()
    assert len(routes) <= 1, "this namespace has a way out"
    os.execv(sys.argv[1], sys.argv[1:])
