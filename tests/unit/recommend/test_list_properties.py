"""What holds for every list, whatever is asked of it."""

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.index.shelf import Shelf
from service.recommend.arrange import NEAR_DUPLICATE
from service.recommend.candidates import permitted
from service.recommend.engine import recommend
from service.types import (
    AttributeValue,
    Boost,
    Cap,
    Filter,
    ItemId,
    Match,
    Promotion,
    Query,
    Seed,
    Strategy,
)

STEPS = 14
# Some are copies of others: every third stands where the one before it does.
ANGLES = [(n - n % 3 // 2) * 0.2 for n in range(STEPS)]
FACTS: dict[str, dict[str, AttributeValue]] = {
    f"i{n}": {"artist": f"a{n % 4}", "kind": "odd" if n % 2 else "even"} for n in range(STEPS)
}
IDS = st.sampled_from([*FACTS, "gone"])


@pytest.fixture
def arc(make_snapshot: Callable[..., Shelf]) -> Shelf:
    vectors = {name: [np.cos(a), np.sin(a)] for name, a in zip(FACTS, ANGLES, strict=True)}
    return make_snapshot(vectors, FACTS)


def kind(value: str) -> Filter:
    return Filter(must=(Match("kind", (value,)),))


@settings(
    deadline=None, max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    like=st.lists(IDS, max_size=3),
    dislike=st.lists(IDS, max_size=2),
    exclude=st.lists(IDS, max_size=2),
    shown=st.lists(IDS, max_size=3, unique=True),
    filtered=st.booleans(),
    k=st.integers(1, 20),
    strategy=st.sampled_from([None, "average_vector", "sum_scores", "best_score"]),
    diversity=st.sampled_from([0.0, 0.4, 1.0]),
    cap=st.sampled_from([None, 1, 2]),
    min_score=st.sampled_from([None, -0.5, 0.3]),
    boost=st.sampled_from([None, 0.4, -0.4]),
    share=st.sampled_from([None, 0.3]),
)
def test_limits_hold_and_counts_add_up(
    arc: Shelf,
    like: list[str],
    dislike: list[str],
    exclude: list[str],
    shown: list[str],
    filtered: bool,
    k: int,
    strategy: Strategy | None,
    diversity: float,
    cap: int | None,
    min_score: float | None,
    boost: float | None,
    share: float | None,
) -> None:
    query = Query(
        like=tuple(Seed(ItemId(each)) for each in like),
        dislike=tuple(Seed(ItemId(each)) for each in dislike),
        exclude=tuple(map(ItemId, exclude)),
        shown=tuple(map(ItemId, shown)),
        filter=kind("odd") if filtered else Filter(),
        k=k,
        strategy=strategy,
        diversity=diversity,
        limit_per=() if cap is None else (Cap("artist", cap),),
        min_score=min_score,
        boost=() if boost is None else (Boost(kind("odd"), boost),),
        promoted=None if share is None else Promotion(kind("even"), share),
    )
    found = recommend(query, arc, None)
    names = [str(arc.id(each.row)) for each in found.items]
    assert len(set(names)) == len(names) <= k
    assert not {*names} & {*like, *dislike, *exclude, *shown}
    assert not filtered or all(FACTS[name]["kind"] == "odd" for name in names)
    if cap is not None:
        held = Counter(FACTS[name]["artist"] for name in names)
        assert all(count <= cap for count in held.values())
    if min_score is not None:
        assert all(each.score >= np.float32(min_score) for each in found.items)
    vectors = arc.vectors(np.array([each.row for each in found.items], np.int64))
    assert (np.vecdot(vectors[1:], vectors[:-1]) <= NEAR_DUPLICATE + 1e-6).all()
    assert all(np.isfinite(each.score) for each in found.items)
    assert found.counts.asked == k
    assert found.counts.found + found.counts.back_filled == len(names)
    assert (len(names) < k) == bool({"fewer_than_k", "filter_matches_nothing"} & {*found.degraded})


def test_padding_and_damaged_scores_are_dropped_and_counted() -> None:
    rows = np.array([4, -1, 2, 7, 9], np.int64)
    scores = np.array([0.5, -np.inf, np.nan, np.inf, 0.1], np.float32)
    kept, values, unscored = permitted(rows, scores, np.array([9], np.int64))
    assert (kept.tolist(), values.tolist(), unscored) == ([4], [0.5], 2)
