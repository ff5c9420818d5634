import ssl

import pytest

from service.cache.address import RedisAddress
from service.errors import InvalidSettings


def test_url_names_server_database_and_user() -> None:
    address = RedisAddress.parse("redis://user:w%40rd@127.0.0.1:6399/3")
    assert address == RedisAddress(
        host="127.0.0.1", port=6399, database=3, username="user", password="w@rd"
    )


def test_what_the_url_leaves_out_is_the_local_server() -> None:
    assert RedisAddress.parse("redis://") == RedisAddress("localhost", 6379, None, 0)


def test_unix_socket_is_a_path() -> None:
    address = RedisAddress.parse("unix:///run/redis.sock?db=2")
    assert (address.path, address.database, address.tls) == ("/run/redis.sock", 2, None)


def test_tls_checks_certificate_and_host_name_by_default() -> None:
    tls = RedisAddress.parse("rediss://user:word@host:6380/1").tls
    assert tls is not None
    assert (tls.verify_mode, tls.check_hostname) == (ssl.CERT_REQUIRED, True)


def test_tls_options_mean_what_they_mean_in_redis_py() -> None:
    url = "rediss://host?ssl_cert_reqs=none&ssl_check_hostname=False"
    tls = RedisAddress.parse(url).tls
    assert tls is not None
    assert (tls.verify_mode, tls.check_hostname) == (ssl.CERT_NONE, False)


def test_password_is_not_shown() -> None:
    assert "hunter2" not in repr(RedisAddress.parse("redis://:hunter2@host"))


@pytest.mark.parametrize(
    "url",
    [
        "redis://:hunter2@host?socket_timeout=30",
        "redis://:hunter2@host?protocol=3",
        "redis://:hunter2@host?connection_class=x",
        "redis://:hunter2@host/first",
        "redis://:hunter2@host:port",
        "rediss://:hunter2@host?ssl_ca_certs=/no/such/file",
        "rediss://:hunter2@host?ssl_no_such=1",
        "http://:hunter2@host",
        "hunter2",
        "",
    ],
)
def test_url_that_cannot_be_used_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(InvalidSettings) as caught:
        RedisAddress.parse(url)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    assert caught.value.hint
