import pytest
from redis import exceptions

from service.cache.failures import Failure, classify
from service.cache.frame import BadFrame


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (exceptions.ConnectionError("refused"), "connect"),
        (ConnectionResetError(), "connect"),
        (exceptions.TimeoutError("read"), "timeout"),
        (TimeoutError(), "timeout"),
        (caused(exceptions.ConnectionError("No connection available."), TimeoutError()), "busy"),
        (caused(exceptions.ConnectionError("refused"), OSError()), "connect"),
        (exceptions.MaxConnectionsError("full"), "busy"),
        (exceptions.OutOfMemoryError("maxmemory"), "oom"),
        (exceptions.ReadOnlyError("replica"), "readonly"),
        (exceptions.BusyLoadingError("loading"), "loading"),
        (exceptions.AuthenticationError("no"), "auth"),
        (exceptions.NoPermissionError("no"), "auth"),
        (exceptions.ResponseError("WRONGTYPE Operation against a key"), "wrongtype"),
        (BadFrame("damaged"), "corrupt"),
        (exceptions.ResponseError("MISCONF disk"), "other"),
        (exceptions.InvalidResponse("?"), "other"),
    ],
)
def test_every_error_has_one_reason(error: Exception, failure: Failure) -> None:
    assert classify(error) == failure
