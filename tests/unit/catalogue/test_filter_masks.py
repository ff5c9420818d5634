import numpy as np
import pytest

from service.catalogue.filter_masks import FilterMasks, filter_key
from service.types import Filter, Mask, Match, Range


def mask(size: int = 8) -> Mask:
    return np.ones(size, np.bool_)


def test_order_and_repetition_make_no_difference() -> None:
    colour, price = Match("colour", ("red", "blue")), Range("price", lt=5)
    same = Match("colour", ("blue", "red", "red"))
    assert filter_key(Filter(must=(colour, price))) == filter_key(Filter(must=(price, same, price)))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Filter(must=(Match("a", (1,)),)), Filter(must=(Match("a", (True,)),))),
        (Filter(must=(Match("a", (1,)),)), Filter(must=(Match("a", ("1",)),))),
        (Filter(must=(Match("a", ("x",)),)), Filter(should=(Match("a", ("x",)),))),
        (Filter(must=(Match("a", ("x",)),)), Filter(must=(Match("b", ("x",)),))),
        (Filter(must=(Range("a", lt=1),)), Filter(must=(Range("a", lte=1),))),
        (Filter(must=(Match("a", ("b", "c")),)), Filter(must=(Match("a", ("b', 'c",)),))),
    ],
)
def test_different_filters_are_spelled_differently(one: Filter, other: Filter) -> None:
    assert filter_key(one) != filter_key(other)


def test_mask_is_made_once_and_cannot_be_changed() -> None:
    masks, made = FilterMasks(), []

    def make() -> Mask:
        made.append(1)
        return mask()

    wanted = Filter(must=(Match("a", ("x",)),))
    first, second = (masks.get_or_make(wanted, make) for _ in range(2))
    assert first is second
    assert len(made) == 1
    with pytest.raises(ValueError, match="read-only"):
        first.mask[0] = False
    assert first.count == np.count_nonzero(first.mask)


def test_memory_is_bounded_and_the_latest_stay() -> None:
    masks = FilterMasks()
    for number in range(80):
        masks.get_or_make(Filter(must=(Match("a", (number,)),)), lambda: mask(1_000_000))
    assert len(masks) == 67
    latest = masks.get_or_make(Filter(must=(Match("a", (79,)),)), lambda: mask(1))
    assert len(latest.mask) == 1_000_000


def test_filter_that_fails_is_not_remembered() -> None:
    masks = FilterMasks()

    def fail() -> Mask:
        raise LookupError

    with pytest.raises(LookupError):
        masks.get_or_make(Filter(must=(Match("a", (1,)),)), fail)
    assert len(masks) == 0
