"""Where an id was seen first, and long lists that wait on disk."""

from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from service.catalogue.ids import Places
from service.catalogue.spill import Spill


@settings(deadline=None)
@given(st.lists(st.text(max_size=3)))
def test_places_are_those_of_a_dict(ids: list[str]) -> None:
    places, oracle = Places(), dict[str, int]()
    for place, item_id in enumerate(ids):
        assert places.first(item_id, place) == oracle.setdefault(item_id, place)
    assert len(places) == len(oracle)
    assert all(places.get(item_id) == place for item_id, place in oracle.items())
    assert places.get("none of these") is None


def test_places_are_kept_while_the_table_grows() -> None:
    places = Places()
    for place in range(20_000):
        assert places.first(f"sku-{place}", place) == place
    assert [places.first(f"sku-{place}", 0) for place in (0, 2731, 19_999)] == [0, 2731, 19_999]


def test_spilled_numbers_come_back_in_order(tmp_path: Path) -> None:
    spill = Spill(tmp_path / "spill", np.uint64)
    numbers = [2**64 - 1 - number for number in range(5000)]
    for number in numbers:
        spill.append(number)
    assert len(spill) == 5000
    assert (tmp_path / "spill").stat().st_size == 4096 * 8
    assert spill.read().tolist() == numbers
    assert Spill(tmp_path / "other", np.int32).read().dtype == np.int32
