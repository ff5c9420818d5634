"""Why Redis gave no value: one word per cause, for counters and decisions."""

from typing import Final, Literal, TypeAlias

Failure: TypeAlias = Literal[
    "open", "connect", "timeout", "busy", "oom", "full", "readonly", "loading", "auth",
    "wrongtype", "corrupt", "oversized", "other",
]  # fmt: skip
"""open: not asked, the breaker is open. busy: too many of our questions wait for a reply.
full: not written, the server holds more than it may."""

ANSWERED: Final[frozenset[Failure]] = frozenset(
    {"oom", "full", "readonly", "wrongtype", "corrupt", "oversized"}
)
"""Failures in which Redis answered in time: no outage, the next question may well succeed."""

UNDECIDED: Final[frozenset[Failure]] = frozenset({"busy", "open"})
"""Failures in which Redis was not asked: they say nothing about it."""

# The first word of an error is its code. Two errors have the code ERR and are told by more of it.
_BY_BEGINNING: Final[tuple[tuple[str, Failure], ...]] = (
    ("OOM ", "oom"),
    ("READONLY ", "readonly"),
    ("LOADING ", "loading"),
    ("NOAUTH ", "auth"),
    ("WRONGPASS ", "auth"),
    ("NOPERM ", "auth"),
    ("ERR AUTH ", "auth"),
    ("ERR invalid password", "auth"),
    ("ERR max number of clients", "connect"),
    ("WRONGTYPE ", "wrongtype"),
)


class RedisFault(Exception):
    """An operation on Redis that gave no usable reply. Caught inside this package.

    Args:
        failure: the cause.
        code: the first word of the server's error, empty where there is none. Never more of it:
            the rest may quote what was sent.
    """

    def __init__(self, failure: Failure, code: str = "") -> None:
        super().__init__(failure)
        self.failure: Failure = failure
        self.code = code


def fault_of(reply: str) -> RedisFault:
    """Name the cause of an error that Redis replied with."""
    code = reply.partition(" ")[0][:20]
    for beginning, failure in _BY_BEGINNING:
        if reply.startswith(beginning):
            return RedisFault(failure, code)
    return RedisFault("other", code)
