"""Which keys are valid, now and after the file has changed."""

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.access.keyring import Keyring
from service.access.scopes import SCOPES, Scope, covers
from service.errors import InvalidSettings

if TYPE_CHECKING:
    from tests.unit.access.conftest import Keys


def name_of(ring: Keyring, presented: bytes) -> str | None:
    key = ring.verify(presented)
    return None if key is None else key.name


def test_a_key_is_known_and_anything_near_it_is_not(keys: "Keys") -> None:
    shop, ingest = keys.add("shop"), keys.add("ingest", "write")
    ring = Keyring(keys.path)
    assert (name_of(ring, shop), name_of(ring, ingest)) == ("shop", "ingest")
    prefix, _, secret = shop.rpartition(b"_")
    of_other = ingest.rpartition(b"_")[0] + b"_" + secret
    wrong = [
        b"", b"_", b"mgp", prefix, prefix + b"_", secret, shop[:-1], shop + b"0", shop.upper(),
        b" " + shop, shop.replace(b"mgp", b"MGP"), of_other, shop * 2, b"\x00" + shop, shop * 999,
    ]  # fmt: skip
    assert [name_of(ring, each) for each in wrong] == [None] * len(wrong)


@given(presented=st.binary(max_size=200))
def test_no_bytes_whatever_are_a_key_by_chance(
    tmp_path_factory: pytest.TempPathFactory, presented: bytes
) -> None:
    from tests.unit.access.conftest import Keys as Made

    keys = Made(tmp_path_factory.mktemp("keys") / "keys.json")
    keys.add("shop")
    assert Keyring(keys.path).verify(presented) is None


def test_a_revoked_key_is_refused_at_the_next_look_and_a_new_one_known(keys: "Keys") -> None:
    shop, other = keys.add("shop"), keys.add("other")
    ring = Keyring(keys.path)
    assert not ring.refresh()
    keys.revoke("shop")
    late = keys.add("late", "admin")
    assert ring.refresh()
    assert [name_of(ring, each) for each in (shop, other, late)] == [None, "other", "late"]


def test_a_file_that_turns_bad_leaves_the_keys_and_is_told(keys: "Keys") -> None:
    shop = keys.add("shop")
    ring = Keyring(keys.path)
    good = keys.path.read_bytes()
    keys.path.chmod(0o644)
    assert not ring.refresh()
    assert "0644" in str(ring.last_error)
    keys.path.chmod(0o600)
    assert ring.refresh()
    assert str(ring.last_error) == "None"
    keys.path.write_bytes(good[:-20])
    assert not ring.refresh()
    assert name_of(ring, shop) == "shop"
    assert "not a file of keys" in str(ring.last_error)


def test_without_its_file_no_key_is_valid(keys: "Keys") -> None:
    shop = keys.add("shop")
    ring = Keyring(keys.path)
    keys.path.unlink()
    assert ring.refresh()
    assert (name_of(ring, shop), len(ring)) == (None, 0)


def test_no_file_and_no_key_are_refused_at_start_with_the_way_out(keys: "Keys") -> None:
    with pytest.raises(InvalidSettings, match=r"MAGPIE_KEYS_FILE.*magpie key create"):
        Keyring(keys.path)
    keys.add("shop")
    keys.revoke("shop")
    with pytest.raises(InvalidSettings, match=r"holds no key.*magpie key create"):
        Keyring(keys.path)


@pytest.mark.parametrize("held", [None, *SCOPES])
@pytest.mark.parametrize("needed", SCOPES)
def test_a_scope_holds_the_ones_before_it(held: Scope | None, needed: Scope) -> None:
    expected = held is not None and SCOPES.index(held) >= SCOPES.index(needed)
    assert covers(held, needed) == expected
