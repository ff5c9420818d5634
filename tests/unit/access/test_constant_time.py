"""G51: every presented key costs one hash and one comparison of two digests of one length."""

import hmac
from typing import TYPE_CHECKING

import pytest

from service.access import keyring
from service.access.keyring import Keyring
from service.access.keys import DIGEST_BYTES, digest

if TYPE_CHECKING:
    from tests.unit.access.conftest import Keys


def candidates(right: bytes) -> dict[str, bytes]:
    prefix, _, secret = right.rpartition(b"_")
    flipped = b"1" if secret[:1] == b"0" else b"0"
    return {
        "right": right,
        "wrong from the first character": prefix + b"_" + flipped + secret[1:],
        "wrong in the last character": right[:-1] + (b"1" if secret[-1:] == b"0" else b"0"),
        "half of it": right[:-24],
        "of an unknown id": b"mgp_00000000_" + secret,
        "not a key": b"anything",
        "empty": b"",
    }


def test_every_candidate_is_compared_once_in_constant_time(
    keys: "Keys", monkeypatch: pytest.MonkeyPatch
) -> None:
    right = keys.add("shop")
    ring = Keyring(keys.path)
    compared: list[tuple[bytes, bytes]] = []

    def noting(left: bytes, right: bytes) -> bool:
        compared.append((left, right))
        return hmac.compare_digest(left, right)

    assert vars(keyring)["compare_digest"] is hmac.compare_digest
    monkeypatch.setattr(keyring, "compare_digest", noting)
    for name, presented in candidates(right).items():
        compared.clear()
        known = ring.verify(presented)
        assert (known is not None) == (name == "right")
        assert [(len(left), len(other)) for left, other in compared] == [
            (DIGEST_BYTES, DIGEST_BYTES)
        ], name


def test_a_digest_has_one_length_and_tells_nothing_of_how_much_is_right(keys: "Keys") -> None:
    right = keys.add("shop")
    pepper = b"p" * 32
    found = [digest(each, pepper) for each in candidates(right).values()]
    assert {len(each) for each in found} == {DIGEST_BYTES}
    near, far = digest(right, pepper), digest(right[:-1] + b"x", pepper)
    # Half of the bits differ, wherever the key itself does.
    differing = sum((a ^ b).bit_count() for a, b in zip(near, far, strict=True))
    assert 80 < differing < 176
