import pytest

from service.cache.failures import RedisFault
from service.cache.room import Room, read_room

REPLY = b"# Memory\r\nused_memory:1000\r\nmaxmemory:%d\r\nmaxmemory_policy:%b\r\n"


def test_reply_of_a_bounded_server_is_read() -> None:
    assert read_room(REPLY % (5000, b"allkeys-lfu"), 10) == Room(1000, 5000, "allkeys-lfu", 10)


@pytest.mark.parametrize("reply", [None, 3, b"", b"used_memory:many\r\n", [b"used_memory:1"]])
def test_reply_that_is_something_else_is_a_fault(reply: object) -> None:
    with pytest.raises(RedisFault):
        read_room(reply, None)


def test_server_without_a_bound_is_a_concern_and_full_at_ours() -> None:
    room = read_room(REPLY % (0, b"noeviction"), 1000)
    assert room.is_full
    assert "maxmemory" in str(room.concern)
    assert not read_room(REPLY % (0, b"noeviction"), 1001).is_full
    assert not read_room(REPLY % (0, b"noeviction"), None).is_full


def test_bounded_server_makes_room_by_itself() -> None:
    room = read_room(REPLY % (1000, b"volatile-ttl"), 1)
    assert (room.is_full, room.concern) == (False, None)


def test_bounded_server_that_never_evicts_is_a_concern() -> None:
    assert "noeviction" in str(read_room(REPLY % (1000, b"noeviction"), 1).concern)
