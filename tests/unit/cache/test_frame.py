import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.cache.frame import FRAME_OVERHEAD_BYTES, BadFrame, Stored, seal, unseal
from service.cache.keys import cache_key

LIMIT = 1000
KEY = b"magpie:1:key"


def sealed(body: bytes) -> bytes:
    return seal(KEY, Stored(body, 1_900_000_000.125, 0.25))


@settings(deadline=None)
@given(
    st.binary(max_size=64),
    st.binary(max_size=LIMIT),
    st.integers(0, 1 << 50),
    st.integers(0, (1 << 32) - 1),
)
def test_sealed_body_comes_back_with_its_times(
    key: bytes, body: bytes, expires_at_ms: int, cost_us: int
) -> None:
    stored = Stored(body, expires_at_ms / 1e3, cost_us / 1e6)
    frame = seal(key, stored)
    assert unseal(key, frame, LIMIT) == stored
    assert len(frame) == len(body) + FRAME_OVERHEAD_BYTES


def test_cost_beyond_an_hour_is_no_error() -> None:
    frame = seal(KEY, Stored(b"", 0.0, 1e9))
    assert unseal(KEY, frame, LIMIT).cost_s > 3600


@settings(deadline=None)
@given(st.binary(max_size=200), st.data())
def test_any_flipped_bit_is_noticed(body: bytes, choice: st.DataObject) -> None:
    frame = bytearray(sealed(body))
    bit = choice.draw(st.integers(0, len(frame) * 8 - 1))
    frame[bit // 8] ^= 1 << (bit % 8)
    with pytest.raises(BadFrame):
        unseal(KEY, bytes(frame), LIMIT)


@settings(deadline=None)
@given(st.binary(max_size=200), st.data())
def test_any_cut_or_addition_is_noticed(body: bytes, choice: st.DataObject) -> None:
    frame = sealed(body)
    cut = choice.draw(st.integers(0, len(frame) - 1))
    with pytest.raises(BadFrame):
        unseal(KEY, frame[:cut], LIMIT)
    with pytest.raises(BadFrame):
        unseal(KEY, frame + choice.draw(st.binary(min_size=1, max_size=9)), LIMIT)


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_foreign_bytes_are_never_a_value(content: bytes) -> None:
    with pytest.raises(BadFrame):
        unseal(KEY, content, LIMIT)


def test_frame_of_another_key_is_refused() -> None:
    with pytest.raises(BadFrame, match="another key"):
        unseal(b"other", sealed(b"body"), LIMIT)


def test_frames_of_keys_are_told_apart_by_their_ends() -> None:
    frame = seal(cache_key("one"), Stored(b"body", 0.0, 0.0))
    assert unseal(cache_key("one"), frame, LIMIT).body == b"body"
    with pytest.raises(BadFrame, match="another key"):
        unseal(cache_key("other"), frame, LIMIT)


def test_frame_of_another_schema_is_refused() -> None:
    frame = bytearray(sealed(b"body"))
    frame[3] += 1
    with pytest.raises(BadFrame, match="schema"):
        unseal(KEY, bytes(frame), LIMIT)


def test_body_above_the_limit_is_refused() -> None:
    with pytest.raises(BadFrame):
        unseal(KEY, sealed(bytes(LIMIT + 1)), LIMIT)


@pytest.mark.parametrize("reply", [None, 3, "text", [b"a"], True])
def test_reply_that_is_not_bytes_is_refused(reply: object) -> None:
    with pytest.raises(BadFrame, match="not bytes"):
        unseal(KEY, reply, LIMIT)
