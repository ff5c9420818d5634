from hypothesis import given, settings
from hypothesis import strategies as st

from service.cache.keys import NAMESPACE, cache_key, key_opening

PART = st.one_of(st.text(st.characters(codec=None), max_size=6), st.binary(max_size=6))
PARTS = st.lists(PART, max_size=4).map(tuple)


def typed(parts: tuple[bytes | str, ...]) -> tuple[tuple[str, bytes | str], ...]:
    return tuple((type(part).__name__, part) for part in parts)


@settings(deadline=None)
@given(PARTS, PARTS)
def test_keys_are_equal_only_for_equal_parts(
    left: tuple[bytes | str, ...], right: tuple[bytes | str, ...]
) -> None:
    assert (cache_key(*left) == cache_key(*right)) == (typed(left) == typed(right))


@settings(deadline=None)
@given(st.text(max_size=8), st.text(max_size=8), st.text(max_size=8))
def test_moving_a_separator_between_parts_gives_another_key(a: str, b: str, c: str) -> None:
    assert cache_key(f"{a}:{b}", c) != cache_key(a, f"{b}:{c}")
    assert cache_key(a, b) != cache_key(a + b)
    assert cache_key(a) != cache_key(a, "")


@settings(deadline=None)
@given(PARTS, PARTS)
def test_key_does_not_depend_on_where_its_parts_are_split(
    first: tuple[bytes | str, ...], rest: tuple[bytes | str, ...]
) -> None:
    opening = key_opening(*first)
    for _ in range(2):
        assert cache_key(*rest, after=opening) == cache_key(*first, *rest)


def test_text_and_the_same_bytes_are_two_keys() -> None:
    assert cache_key("a") != cache_key(b"a")


@settings(deadline=None)
@given(PARTS)
def test_key_is_short_printable_and_in_the_namespace(parts: tuple[bytes | str, ...]) -> None:
    key = cache_key(*parts)
    assert key.startswith(NAMESPACE)
    assert len(key) == 49
    assert key.decode("ascii").isprintable()


def test_hostile_ids_have_keys_of_their_own() -> None:
    hostile = ["*", "{a}", "a\r\nb", "a\x00b", "a" * 10_000, "\ud800", "\udfff", ":", ""]
    assert len({cache_key(text) for text in hostile}) == len(hostile)


def test_key_of_known_parts_never_changes() -> None:
    """Changing the format needs a new digit in the namespace, or old values meet new questions."""
    assert cache_key("similar", b"\x00", "pins@1") == b"magpie:1:" + GOLDEN


GOLDEN = b"e2a8e5b1d48e7f2e8847f7072ee6e9835d6de037"
