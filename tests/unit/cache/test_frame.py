import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.cache.frame import FRAME_OVERHEAD_BYTES, BadFrame, seal, unseal

LIMIT = 1000
KEY = b"magpie:1:key"


@settings(deadline=None)
@given(st.binary(max_size=64), st.binary(max_size=LIMIT))
def test_sealed_body_comes_back(key: bytes, body: bytes) -> None:
    frame = seal(key, body)
    assert unseal(key, frame, LIMIT) == body
    assert len(frame) == len(body) + FRAME_OVERHEAD_BYTES


@settings(deadline=None)
@given(st.binary(max_size=200), st.data())
def test_any_flipped_bit_is_noticed(body: bytes, choice: st.DataObject) -> None:
    frame = bytearray(seal(KEY, body))
    bit = choice.draw(st.integers(0, len(frame) * 8 - 1))
    frame[bit // 8] ^= 1 << (bit % 8)
    with pytest.raises(BadFrame):
        unseal(KEY, bytes(frame), LIMIT)


@settings(deadline=None)
@given(st.binary(max_size=200), st.data())
def test_any_cut_or_addition_is_noticed(body: bytes, choice: st.DataObject) -> None:
    frame = seal(KEY, body)
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
        unseal(b"other", seal(KEY, b"body"), LIMIT)


def test_frame_of_another_schema_is_refused() -> None:
    frame = bytearray(seal(KEY, b"body"))
    frame[3] += 1
    with pytest.raises(BadFrame, match="schema"):
        unseal(KEY, bytes(frame), LIMIT)


def test_body_above_the_limit_is_refused() -> None:
    with pytest.raises(BadFrame):
        unseal(KEY, seal(KEY, bytes(LIMIT + 1)), LIMIT)


@pytest.mark.parametrize("reply", [None, 3, "text", [b"a"], True])
def test_reply_that_is_not_bytes_is_refused(reply: object) -> None:
    with pytest.raises(BadFrame, match="not bytes"):
        unseal(KEY, reply, LIMIT)
