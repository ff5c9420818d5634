import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.cache.local import ENTRY_OVERHEAD_BYTES, LocalCache


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def room_for(entries: int, key: bytes = b"k", value: bytes = b"v") -> int:
    return entries * (len(key) + len(value) + ENTRY_OVERHEAD_BYTES)


def test_stored_value_comes_back_also_when_empty() -> None:
    cache = LocalCache(max_bytes=10_000, ttl_s=60)
    cache.put(b"a", b"1")
    cache.put(b"b", b"")
    assert (cache.get(b"a"), cache.get(b"b"), cache.get(b"c")) == (b"1", b"", None)


def test_least_recently_used_goes_first() -> None:
    cache = LocalCache(max_bytes=room_for(2), ttl_s=60)
    cache.put(b"a", b"1")
    cache.put(b"b", b"2")
    cache.get(b"a")
    cache.put(b"c", b"3")
    assert (cache.get(b"a"), cache.get(b"b"), cache.get(b"c")) == (b"1", None, b"3")
    assert cache.stats.evictions == 1


def test_entry_expires_at_its_time_however_often_it_is_used() -> None:
    clock = Clock()
    cache = LocalCache(max_bytes=10_000, ttl_s=10, clock=clock)
    cache.put(b"a", b"1")
    clock.now += 9.9
    assert cache.get(b"a") == b"1"
    clock.now += 0.1
    assert cache.get(b"a") is None
    assert (cache.stats.expirations, cache.stats.entries, cache.stats.held_bytes) == (1, 0, 0)


def test_replacing_a_value_replaces_its_size_and_its_time() -> None:
    clock = Clock()
    cache = LocalCache(max_bytes=10_000, ttl_s=10, clock=clock)
    cache.put(b"k", b"x" * 500)
    clock.now += 5
    cache.put(b"k", b"y")
    assert cache.stats.held_bytes == room_for(1)
    clock.now += 9
    assert cache.get(b"k") == b"y"


def test_value_larger_than_the_whole_cache_leaves_the_rest_and_no_stale_value() -> None:
    cache = LocalCache(max_bytes=room_for(2), ttl_s=60)
    cache.put(b"a", b"1")
    cache.put(b"b", b"2")
    cache.put(b"b", bytes(10_000))
    assert (cache.get(b"a"), cache.get(b"b")) == (b"1", None)


def test_discarded_key_is_a_miss_and_an_unknown_one_no_error() -> None:
    cache = LocalCache(max_bytes=10_000, ttl_s=60)
    cache.put(b"a", b"1")
    cache.discard(b"a")
    cache.discard(b"a")
    assert cache.get(b"a") is None


def test_stats_count_hits_and_misses() -> None:
    cache = LocalCache(max_bytes=10_000, ttl_s=60)
    cache.get(b"k")
    cache.put(b"k", b"v")
    cache.get(b"k")
    cache.get(b"k")
    stats = cache.stats
    assert (stats.hits, stats.misses, stats.entries, stats.held_bytes) == (2, 1, 1, room_for(1))


OPERATION = st.tuples(st.sampled_from("gpd"), st.binary(max_size=1), st.integers(0, 900))


@settings(deadline=None)
@given(st.lists(OPERATION, max_size=60))
def test_held_bytes_are_exact_and_never_above_the_limit(
    operations: list[tuple[str, bytes, int]],
) -> None:
    cache = LocalCache(max_bytes=3000, ttl_s=60)
    newest: dict[bytes, bytes] = {}
    for verb, key, size in operations:
        if verb == "p":
            newest[key] = bytes(size)
            cache.put(key, newest[key])
        elif verb == "d":
            newest.pop(key, None)
            cache.discard(key)
        else:
            assert cache.get(key) in (None, newest.get(key))
        assert cache.stats.held_bytes <= 3000
    kept = [(key, value) for key, value in newest.items() if cache.get(key) is not None]
    assert cache.stats.held_bytes == sum(
        len(key) + len(value) + ENTRY_OVERHEAD_BYTES for key, value in kept
    )


@pytest.mark.parametrize("entries", [1_000, 5_462, 10_923])
def test_counted_overhead_covers_the_measured_one(entries: int) -> None:
    """5,462 and 10,923 entries are the moments in which CPython has just grown the table."""
    cache = LocalCache(max_bytes=1 << 30, ttl_s=60)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for number in range(entries):
            cache.put(b"%049d" % number, bytes(100))
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    measured = (after - before) / entries - 149
    assert measured <= ENTRY_OVERHEAD_BYTES
    assert measured >= ENTRY_OVERHEAD_BYTES / 2
