import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.encoders.batching import length_sorted_batches

_LENGTHS = st.lists(st.integers(min_value=1, max_value=300), max_size=60)


@given(lengths=_LENGTHS, token_budget=st.integers(min_value=1, max_value=2000))
def test_every_text_is_in_exactly_one_batch(lengths: list[int], token_budget: int) -> None:
    batches = list(length_sorted_batches(lengths, token_budget=token_budget))
    rows = [int(row) for batch in batches for row in batch]
    assert sorted(rows) == list(range(len(lengths)))


@given(lengths=_LENGTHS, token_budget=st.integers(min_value=1, max_value=2000))
def test_a_padded_batch_never_exceeds_the_budget_unless_it_is_one_text(
    lengths: list[int], token_budget: int
) -> None:
    for batch in length_sorted_batches(lengths, token_budget=token_budget):
        padded = len(batch) * max(lengths[row] for row in batch)
        assert padded <= token_budget or len(batch) == 1


@given(lengths=_LENGTHS)
def test_lengths_rise_from_batch_to_batch(lengths: list[int]) -> None:
    batches = length_sorted_batches(lengths, token_budget=64)
    seen = [lengths[row] for batch in batches for row in batch]
    assert seen == sorted(lengths)


def test_equal_lengths_keep_the_order_of_the_caller() -> None:
    (batch,) = length_sorted_batches([5, 5, 5, 5], token_budget=20)
    np.testing.assert_array_equal(batch, [0, 1, 2, 3])
    assert batch.dtype == np.int64


def test_no_texts_make_no_batch() -> None:
    assert list(length_sorted_batches([], token_budget=10)) == []


def test_a_budget_below_one_is_an_error() -> None:
    with pytest.raises(ValueError, match="positive"):
        list(length_sorted_batches([1], token_budget=0))
