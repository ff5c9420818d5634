"""How a worker says that its event loop turns: a byte now and then, on a pipe of its own."""

import os
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Final

_BEAT: Final = b"."
_FAREWELL: Final = b"x"
_MANY: Final = 4096


class Pulse:
    """The worker's end.

    Args:
        connection: to whom it may concern; only its file is used.
    """

    def __init__(self, connection: Connection) -> None:
        # Kept, as the file is closed with it.
        self._connection = connection
        os.set_blocking(connection.fileno(), False)

    def beat(self) -> bool:
        """Say that all is well; False when nobody is left to hear it."""
        return self._say(_BEAT)

    def leave(self) -> None:
        """Say that there will be no more beats, as the worker ends by itself."""
        self._say(_FAREWELL)

    def _say(self, what: bytes) -> bool:
        try:
            os.write(self._connection.fileno(), what)
        except BlockingIOError:
            # Nobody has listened for long; that they are there is all one can tell.
            return True
        except OSError:
            return False
        return True


class Stethoscope:
    """The supervisor's end.

    Args:
        connection: the other end of the worker's.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        os.set_blocking(connection.fileno(), False)
        self.has_left = False
        """The worker has said that it ends by itself."""

    def has_beaten(self) -> bool:
        """Whether there was a beat since the last look."""
        heard = b""
        with suppress(OSError):
            heard = os.read(self._connection.fileno(), _MANY)
        self.has_left = self.has_left or _FAREWELL in heard
        return bool(heard)

    def close(self) -> None:
        """Listen no more."""
        self._connection.close()
