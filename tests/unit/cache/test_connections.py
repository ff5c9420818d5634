import inspect
from collections.abc import Callable

import pytest
from redis.asyncio import BlockingConnectionPool, Connection, SSLConnection
from redis.asyncio.connection import AbstractConnection, UnixDomainSocketConnection
from redis.backoff import NoBackoff

from service.cache.connections import RedisLimits, open_pool
from service.errors import InvalidSettings

URL = "redis://127.0.0.1:6399/3"

# What redis-py passes between its own objects, or what has no effect without notifications.
INTERNAL = {
    "event_dispatcher", "himport_registry", "encoder_class", "parser_class",
    "maint_notifications_config", "maint_notifications_pool_handler", "maintenance_state",
    "maintenance_notification_hash", "orig_host_address", "orig_socket_timeout",
    "orig_socket_connect_timeout", "oss_cluster_maint_notifications_handler",
}  # fmt: skip
DEPRECATED = {"lib_name", "lib_version"}


def options_of(function: Callable[..., None]) -> set[str]:
    skipped = {"self", "kwargs", "connection_kwargs"}
    return set(inspect.signature(function).parameters) - skipped


def test_every_option_of_a_connection_is_written_down() -> None:
    known = options_of(AbstractConnection.__init__) | options_of(Connection.__init__)
    written = set(open_pool(URL, RedisLimits()).connection_kwargs)
    assert known - written - INTERNAL - DEPRECATED == set()


def test_every_option_of_the_pool_is_written_down() -> None:
    assert options_of(BlockingConnectionPool.__init__) == {
        "max_connections", "timeout", "connection_class", "queue_class",
    }  # fmt: skip


def test_library_defaults_are_not_in_use() -> None:
    pool = open_pool(URL, RedisLimits())
    connection = pool.make_connection()  # type: ignore[no-untyped-call]
    assert (pool.max_connections, pool.timeout) == (16, 0.020)
    assert connection.socket_timeout is None  # `budget_s` bounds every operation from outside
    assert connection.socket_connect_timeout == 0.050
    assert connection.retry.get_retries() == 0
    assert isinstance(connection.retry._backoff, NoBackoff)
    assert connection.retry_on_error == []
    assert connection.health_check_interval == 0
    assert connection.protocol == 2
    assert connection.client_name == "magpie"
    assert connection.driver_info is None
    assert connection.encoder.decode_responses is False
    assert connection.socket_keepalive is True
    assert set(connection.socket_keepalive_options.values()) <= {30, 5, 3}
    assert (connection.host, connection.port, connection.db) == ("127.0.0.1", 6399, 3)


def test_pooled_connections_are_checked_for_left_over_bytes() -> None:
    """redis-py leaves the check out where maintenance notifications are on."""
    pool = open_pool(URL, RedisLimits())
    assert not pool.maint_notifications_enabled()  # type: ignore[no-untyped-call]


def test_budget_of_an_operation_is_fifty_milliseconds() -> None:
    assert RedisLimits().budget_s == 0.050


@pytest.mark.parametrize(
    ("url", "connection_class"),
    [
        ("redis://host", Connection),
        ("rediss://user:word@host:6380/1?ssl_cert_reqs=required", SSLConnection),
        ("unix:///run/redis.sock?db=2", UnixDomainSocketConnection),
    ],
)
def test_scheme_chooses_the_kind_of_connection(
    url: str, connection_class: type[AbstractConnection]
) -> None:
    pool = open_pool(url, RedisLimits())
    connection = pool.make_connection()  # type: ignore[no-untyped-call]
    assert type(connection) is connection_class


@pytest.mark.parametrize(
    "url",
    [
        "redis://:hunter2@host?socket_timeout=30",
        "redis://:hunter2@host?protocol=3",
        "redis://:hunter2@host?connection_class=x",
        "redis://:hunter2@host/first",
        "redis://:hunter2@host:port",
        "http://:hunter2@host",
        "hunter2",
        "",
    ],
)
def test_url_that_cannot_be_used_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(InvalidSettings) as caught:
        open_pool(url, RedisLimits())
    assert "hunter2" not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    assert caught.value.hint
