"""What the compiled library says of what is liked is what NumPy says where there is none."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.index.native.liking import LikingByRow
from service.recommend import liking
from service.recommend.liking import Scored, liked, shares
from service.recommend.wishes import Wish
from service.types import ItemId, Rows, Vectors

DIM = 24
FROZEN = 60


class Shelf:
    """As much of a shelf as scoring needs: some vectors of a version, and of fresh items."""

    def __init__(self, vectors: Vectors, *, is_compiled: bool) -> None:
        self._vectors = vectors
        self.liking = LikingByRow(vectors[:FROZEN], vectors[FROZEN:]) if is_compiled else None

    def vectors(self, rows: Rows) -> Vectors:
        return self._vectors[rows]


def made(count: int, chance: np.random.Generator) -> Vectors:
    return chance.standard_normal((count, DIM)).astype(np.float32)


def wish_of(likes: int, dislikes: int, chance: np.random.Generator) -> Wish:
    parts, against = made(likes, chance), made(dislikes, chance)
    weights = chance.random(likes).astype(np.float32) + np.float32(0.1)
    ids = tuple(ItemId(f"s{number}") for number in range(likes))
    blame = chance.random(dislikes).astype(np.float32) + np.float32(0.1)
    return Wish(
        parts,
        weights / weights.sum(),
        ids,
        against,
        blame,
        parts,
        np.full(likes, -1),
        is_linear=False,
    )


def both_ways(found: tuple[Rows, Vectors], hidden: Rows, wish: Wish, vectors: Vectors) -> Scored:
    """What NumPy and the library agree on."""
    plain, compiled = (
        liked(found, hidden, wish, Shelf(vectors, is_compiled=way))  # type: ignore[arg-type]
        for way in (False, True)
    )
    assert compiled.unscored == plain.unscored
    assert compiled.vectors is not None
    np.testing.assert_array_equal(compiled.vectors, vectors[compiled.rows])
    np.testing.assert_allclose(compiled.scores, plain.scores, rtol=1e-4, atol=1e-4)
    assert (np.diff(compiled.scores) <= 0).all()
    # Rounding may decide between two that are worth the same.
    assert sorted(compiled.rows) == sorted(plain.rows)
    return compiled


@settings(deadline=None, max_examples=60)
@given(
    count=st.integers(0, 120),
    likes=st.integers(0, 9),
    dislikes=st.integers(0, 5),
    hidden=st.integers(0, 4),
    seed=st.integers(0, 10_000),
)
def test_what_was_found_is_scored_as_numpy_does(
    count: int, likes: int, dislikes: int, hidden: int, seed: int
) -> None:
    chance = np.random.default_rng(seed)
    vectors = made(FROZEN + 20, chance)
    rows = chance.integers(-1, len(vectors), size=count)
    likeness = chance.random(count).astype(np.float32)
    likeness[::7] = np.nan
    left_out = chance.integers(len(vectors), size=hidden)
    wish = wish_of(likes, dislikes if likes else dislikes + 1, chance)
    found = both_ways((rows, likeness), left_out, wish, vectors)
    assert not np.isin(found.rows, left_out).any()
    assert len(np.unique(found.rows)) == len(found.rows)


def test_equals_come_in_the_order_of_their_rows_and_both_zeros_are_one() -> None:
    chance = np.random.default_rng(2)
    vectors = np.zeros((FROZEN + 20, DIM), np.float32)
    vectors[10:40, 0], vectors[:5, 1], vectors[5:10, 1] = 1.0, 1.0, -1.0
    one = wish_of(1, 0, chance)
    part = np.zeros((1, DIM), np.float32)
    part[0, 0] = 1.0
    rows = chance.permutation(len(vectors))
    found = (rows, np.ones(len(rows), np.float32))
    ordered = both_ways(found, rows[:0], replace(one, parts=part), vectors)
    assert ordered.rows.tolist() == [*range(10, 40), *range(10), *range(40, len(vectors))]


def test_a_damaged_vector_costs_its_own_item_only() -> None:
    chance = np.random.default_rng(3)
    vectors = made(FROZEN + 20, chance)
    vectors[[4, FROZEN + 3]] = np.nan
    vectors[5, 0], vectors[6] = np.inf, 1e30
    rows = np.array([4, 5, 6, FROZEN + 3, 7, 4, 8], np.int64)
    found = both_ways((rows, np.ones(7, np.float32)), rows[:0], wish_of(3, 0, chance), vectors)
    assert {7, 8} <= set(found.rows.tolist())
    assert found.unscored >= 2


def test_a_list_can_be_cut_at_a_score() -> None:
    scores = np.array([0.9, 0.5, 0.5, 0.1], np.float32)
    whole = Scored(np.arange(4), scores, 1, made(4, np.random.default_rng(1)))
    assert whole.down_to(None) is whole
    cut = whole.down_to(0.5)
    assert (cut.rows.tolist(), cut.unscored) == ([0, 1, 2], 1)
    assert cut.vectors is not None
    assert len(cut.vectors) == 3


@settings(deadline=None, max_examples=60)
@given(
    count=st.integers(0, 30),
    likes=st.integers(0, 9),
    is_linear=st.booleans(),
    seed=st.integers(0, 10_000),
)
def test_shares_are_those_of_numpy(count: int, likes: int, is_linear: bool, seed: int) -> None:
    chance = np.random.default_rng(seed)
    wish, items = replace(wish_of(likes, 0, chance), is_linear=is_linear), made(count, chance)
    compiled = shares(wish, items)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(liking, "is_compiled", lambda: False)
        plain = shares(wish, items)
    for ours, theirs in zip(compiled, plain, strict=True):
        # A share at the edge of what is named may be on either side.
        few = min(len(ours), len(theirs))
        assert all(each.share < 0.0502 for each in (*ours[few:], *theirs[few:]))
        assert [each.share for each in ours[:few]] == pytest.approx(
            [each.share for each in theirs[:few]], abs=2e-4
        )
        assert {each.id for each in ours[:few]} == {each.id for each in theirs[:few]}


def test_equal_shares_are_named_in_the_order_of_the_seeds() -> None:
    wish = wish_of(5, 0, np.random.default_rng(4))
    equal = np.repeat(wish.parts[:1], 5, axis=0)
    wish = replace(wish, parts=equal, weights=np.full(5, 0.2, np.float32))
    assert [each.id for each in shares(wish, equal[:1])[0]] == ["s0", "s1", "s2"]
