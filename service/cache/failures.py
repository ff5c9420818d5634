"""Why Redis gave no value: one word per cause, for counters and decisions."""

from typing import Final, Literal, TypeAlias

from redis import exceptions

from service.cache.frame import BadFrame

Failure: TypeAlias = Literal[
    "open", "connect", "timeout", "busy", "oom", "readonly", "loading", "auth", "wrongtype",
    "corrupt", "oversized", "other",
]  # fmt: skip
"""open: not asked, the breaker is open. busy: no connection of ours came free in time."""

ANSWERED: Final[frozenset[Failure]] = frozenset(
    {"oom", "readonly", "wrongtype", "corrupt", "oversized"}
)
"""Failures in which Redis answered in time: no outage, the next question may well succeed."""

UNDECIDED: Final[frozenset[Failure]] = frozenset({"busy", "open"})
"""Failures in which Redis was not asked: they say nothing about it."""

_BY_CLASS: Final[tuple[tuple[type[Exception], Failure], ...]] = (
    # First match wins: redis-py's authentication, loading and pool errors are ConnectionErrors.
    (BadFrame, "corrupt"),
    (exceptions.AuthenticationError, "auth"),
    (exceptions.AuthorizationError, "auth"),
    (exceptions.AuthenticationWrongNumberOfArgsError, "auth"),
    (exceptions.NoPermissionError, "auth"),
    (exceptions.BusyLoadingError, "loading"),
    (exceptions.OutOfMemoryError, "oom"),
    (exceptions.ReadOnlyError, "readonly"),
    (exceptions.TimeoutError, "timeout"),
    (TimeoutError, "timeout"),
    (exceptions.MaxConnectionsError, "busy"),
    (exceptions.ConnectionError, "connect"),
    (OSError, "connect"),
)


def classify(error: Exception) -> Failure:
    """Name the cause of an error that a Redis command ended with."""
    # BlockingConnectionPool says "no connection in time" with the class of a refused connection;
    # only the cause tells them apart.
    if type(error) is exceptions.ConnectionError and isinstance(error.__cause__, TimeoutError):
        return "busy"
    if isinstance(error, exceptions.ResponseError) and str(error).startswith("WRONGTYPE"):
        return "wrongtype"
    for error_class, failure in _BY_CLASS:
        if isinstance(error, error_class):
            return failure
    return "other"
