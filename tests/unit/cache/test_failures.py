import pytest

from service.cache.failures import Failure, fault_of


@pytest.mark.parametrize(
    ("reply", "failure"),
    [
        ("OOM command not allowed when used memory > 'maxmemory'.", "oom"),
        ("READONLY You can't write against a read only replica.", "readonly"),
        ("LOADING Redis is loading the dataset in memory", "loading"),
        ("NOAUTH Authentication required.", "auth"),
        ("WRONGPASS invalid username-password pair or user is disabled.", "auth"),
        ("NOPERM User magpie has no permissions to run the 'get' command", "auth"),
        ("ERR AUTH <password> called without any password configured", "auth"),
        ("ERR invalid password", "auth"),
        ("ERR max number of clients reached", "connect"),
        ("WRONGTYPE Operation against a key holding the wrong kind of value", "wrongtype"),
        ("MISCONF Errors writing to disk", "other"),
        ("", "other"),
    ],
)
def test_every_error_has_one_reason(reply: str, failure: Failure) -> None:
    assert fault_of(reply).failure == failure


def test_only_the_code_of_an_error_is_kept_because_the_rest_may_quote() -> None:
    fault = fault_of("ERR unknown command 'hunter2'")
    assert fault.code == "ERR"
    assert "hunter2" not in f"{fault} {fault!r}"
