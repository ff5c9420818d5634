import gc

import numpy as np

from service.index.selection import Selection, Selections


def test_few_rows_are_named_and_many_are_bits_in_the_order_of_the_index() -> None:
    mask = np.array([True, False, True, True, False, False, False, True, True])
    assert Selection.of(mask, None, few=5).rows.tolist() == [0, 2, 3, 7, 8]  # type: ignore[union-attr]
    order = np.arange(8, -1, -1, dtype=np.int32)
    many = Selection.of(mask, order, few=4)
    assert many.rows is None
    assert many.bits is not None
    assert many.count == 5
    placed = np.unpackbits(many.bits, bitorder="little")[:9].astype(bool)
    np.testing.assert_array_equal(placed, mask[order])


def test_read_only_mask_is_worked_out_once() -> None:
    selections = Selections(None, few=2)
    mask = np.ones(20, np.bool_)
    mask.flags.writeable = False
    assert selections.of(mask) is selections.of(mask)


def test_mask_that_may_change_is_worked_out_every_time() -> None:
    selections = Selections(None, few=2)
    mask = np.ones(20, np.bool_)
    assert selections.of(mask).count == 20
    mask[:15] = False
    assert selections.of(mask).count == 5


def test_another_mask_in_the_same_place_is_not_mistaken_for_the_first() -> None:
    selections = Selections(None, few=2)
    for allowed in range(1, 200):
        mask = np.arange(300) < allowed
        mask.flags.writeable = False
        assert selections.of(mask).count == allowed
        del mask
        gc.collect(0)
