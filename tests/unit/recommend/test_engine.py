from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.errors import InvalidFilter
from service.index.shelf import Shelf
from service.recommend.engine import recommend
from service.types import (
    AttributeValue,
    Filter,
    ItemId,
    Match,
    Query,
    Range,
    Recommendations,
    Seed,
    Share,
    Strategy,
)

MakeSnapshot = Callable[..., Shelf]

PLANE = {
    "east": [1.0, 0.0],
    "east-north-east": [0.96, 0.28],
    "north-east": [0.8, 0.6],
    "north": [0.0, 1.0],
    "west": [-1.0, 0.0],
}
FACTS: dict[str, dict[str, AttributeValue]] = {
    "east": {"kind": "sea", "price": 10, "tags": ["calm", "blue"]},
    "east-north-east": {"kind": "sea", "price": 20, "tags": ["blue"]},
    "north-east": {"kind": "hill", "price": 30, "tags": ["green"]},
    "north": {"kind": "hill", "price": 40, "tags": ["green", "calm"]},
    "west": {"kind": "desert"},
}


@pytest.fixture
def plane(make_snapshot: MakeSnapshot) -> Shelf:
    return make_snapshot(PLANE, FACTS)


def seeds(*ids: str) -> tuple[Seed, ...]:
    return tuple(Seed(ItemId(each)) for each in ids)


def ids(found: Recommendations, shelf: Shelf) -> list[str]:
    return [shelf.id(each.row) for each in found.items]


def test_the_nearest_come_first_and_the_seed_is_left_out(plane: Shelf) -> None:
    found = recommend(Query(like=seeds("east"), k=3), plane, None)
    assert ids(found, plane) == ["east-north-east", "north-east", "north"]
    assert found.source == "similar"
    assert found.degraded == ()
    assert [round(each.score, 2) for each in found.items] == [0.96, 0.8, 0.0]


def test_a_heavier_seed_pulls_the_list_towards_itself(plane: Shelf) -> None:
    light = Query(like=(Seed(ItemId("west"), 3.0), *seeds("north")), k=1)
    heavy = Query(like=(Seed(ItemId("west"), 0.1), *seeds("north")), k=1)
    assert ids(recommend(heavy, plane, None), plane) == ["north-east"]
    assert (
        recommend(light, plane, None).items[0].score < recommend(heavy, plane, None).items[0].score
    )


def test_a_dislike_pushes_away_and_is_never_returned(plane: Shelf) -> None:
    plain = recommend(Query(like=seeds("north-east"), k=4), plane, None)
    assert ids(plain, plane)[0] == "east-north-east"
    pushed = recommend(Query(like=seeds("north-east"), dislike=seeds("east"), k=4), plane, None)
    assert ids(pushed, plane)[0] == "north"
    assert "east" not in ids(pushed, plane)


def test_a_text_alone_searches(plane: Shelf) -> None:
    found = recommend(Query(text="up", k=2), plane, np.array([0, 1], dtype=np.float32))
    assert ids(found, plane) == ["north", "north-east"]
    assert found.source == "search"


@pytest.mark.parametrize("strategy", [None, "average_vector", "sum_scores", "best_score"])
def test_a_text_alone_is_one_wish_whatever_the_strategy(
    plane: Shelf, strategy: Strategy | None
) -> None:
    up = np.array([0, 1], dtype=np.float32)
    found = recommend(Query(text="up", k=3, strategy=strategy, explain=True), plane, up)
    plain = recommend(Query(text="up", k=3, explain=True), plane, up)
    assert ids(found, plane) == ids(plain, plane) == ["north", "north-east", "east-north-east"]
    assert [each.score for each in found.items] == pytest.approx([1.0, 0.6, 0.28], abs=1e-3)
    assert [share.id for item in found.items for share in item.because] == [None] * 3


def test_a_text_weighs_as_much_as_all_liked_items_together(plane: Shelf) -> None:
    up = np.array([0, 1], dtype=np.float32)
    query = Query(like=seeds("east", "east-north-east"), text="up", k=1, explain=True)
    best = recommend(query, plane, up).items[0]
    assert plane.id(best.row) == "north-east"
    assert sum(share.share for share in best.because) == pytest.approx(1.0, abs=1e-3)
    assert None in [share.id for share in best.because]


def test_unknown_ids_are_named_and_cost_nothing_else(plane: Shelf) -> None:
    query = Query(like=seeds("east", "gone"), dislike=seeds("lost", "gone"), k=2)
    found = recommend(query, plane, None)
    assert found.missing == ("gone", "lost")
    assert ids(found, plane) == ["east-north-east", "north-east"]


def test_without_any_known_seed_the_newest_answer_and_say_so(plane: Shelf) -> None:
    found = recommend(Query(like=seeds("gone"), k=2), plane, None)
    assert (found.source, found.degraded, found.missing) == (
        "fallback",
        ("no_known_seed",),
        ("gone",),
    )
    assert ids(found, plane) == ["west", "north"]


def test_nothing_asked_for_is_answered_by_the_newest_without_an_excuse(plane: Shelf) -> None:
    found = recommend(Query(k=2), plane, None)
    assert (found.source, found.degraded) == ("fallback", ())


def test_the_fallback_obeys_filter_exclusions_and_dislikes(plane: Shelf) -> None:
    query = Query(
        k=3,
        dislike=seeds("north"),
        exclude=(ItemId("west"),),
        filter=Filter(must_not=(Match("kind", ("sea",)),)),
    )
    found = recommend(query, plane, None)
    assert ids(found, plane) == ["north-east"]
    assert found.degraded == ("fewer_than_k",)


def test_a_filter_holds_for_every_item(plane: Shelf) -> None:
    query = Query(like=seeds("east"), k=5, filter=Filter(must=(Match("kind", ("hill",)),)))
    found = recommend(query, plane, None)
    assert ids(found, plane) == ["north-east", "north"]
    assert found.degraded == ("fewer_than_k",)


def test_a_filter_that_nothing_passes_is_told_apart_from_a_short_list(plane: Shelf) -> None:
    query = Query(like=seeds("east"), filter=Filter(must=(Range("price", gt=1000),)))
    found = recommend(query, plane, None)
    assert (found.items, found.degraded) == ((), ("filter_matches_nothing",))


def test_an_unknown_filter_key_is_an_error_that_names_it(plane: Shelf) -> None:
    query = Query(like=seeds("east"), filter=Filter(must=(Match("colour", ("red",)),)))
    with pytest.raises(InvalidFilter, match="colour"):
        recommend(query, plane, None)


def test_excluded_items_are_replaced_by_the_next_best(plane: Shelf) -> None:
    query = Query(like=seeds("east"), k=2, exclude=(ItemId("east-north-east"), ItemId("gone")))
    found = recommend(query, plane, None)
    assert ids(found, plane) == ["north-east", "north"]
    assert found.missing == ()


def test_diversity_prefers_a_different_second_item(plane: Shelf) -> None:
    close = recommend(Query(like=seeds("east"), k=2), plane, None)
    wide = recommend(Query(like=seeds("east"), k=2, diversity=0.8), plane, None)
    assert ids(close, plane) == ["east-north-east", "north-east"]
    assert ids(wide, plane)[0] == "east-north-east"
    assert ids(wide, plane)[1] in {"north", "west"}


def test_an_explanation_names_the_seeds_by_their_share(plane: Shelf) -> None:
    query = Query(like=seeds("east", "north"), k=1, explain=True, strategy="average_vector")
    best = recommend(query, plane, None).items[0]
    # north-east is (0.8, 0.6), so it owes 8/14 to east and 6/14 to north.
    assert plane.id(best.row) == "north-east"
    assert best.because == (Share(ItemId("east"), 0.5714), Share(ItemId("north"), 0.4286))


def test_a_seed_that_pulls_the_other_way_has_no_share(plane: Shelf) -> None:
    query = Query(like=(Seed(ItemId("east"), 3.0), *seeds("west")), k=1, explain=True)
    best = recommend(query, plane, None).items[0]
    assert best.because == (Share(ItemId("east"), 1.0),)


def test_what_few_items_have_in_common_explains(make_snapshot: MakeSnapshot) -> None:
    names = {f"i{n}": [1.0, n / 100] for n in range(12)}
    facts = {"i0": {"tags": ["rare", "common"]}, "i1": {"tags": ["rare", "common"]}}
    facts |= {f"i{n}": {"tags": ["common"]} for n in range(2, 12)}
    shelf = make_snapshot(names, facts)
    query = Query(like=seeds("i0"), k=11, explain=True, near_duplicates=True)
    shared = {str(shelf.id(e.row)): e.shared for e in recommend(query, shelf, None).items}
    assert shared["i1"] == {"tags": ["rare"]}
    assert shared["i5"] == {}


@settings(
    deadline=None, max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    like=st.lists(st.sampled_from([*PLANE, "gone"]), max_size=4),
    dislike=st.lists(st.sampled_from([*PLANE, "lost"]), max_size=3),
    exclude=st.lists(st.sampled_from([*PLANE, "gone"]), max_size=3),
    kinds=st.lists(st.sampled_from(["sea", "hill", "desert", "moon"]), max_size=2),
    k=st.integers(1, 9),
    diversity=st.sampled_from([0.0, 0.5, 1.0]),
    explain=st.booleans(),
)
def test_every_list_is_unique_permitted_and_honest_about_its_length(
    plane: Shelf,
    like: list[str],
    dislike: list[str],
    exclude: list[str],
    kinds: list[str],
    k: int,
    diversity: float,
    explain: bool,
) -> None:
    must = (Match("kind", tuple(kinds)),) if kinds else ()
    query = Query(
        like=seeds(*like),
        dislike=seeds(*dislike),
        exclude=tuple(map(ItemId, exclude)),
        filter=Filter(must=must),
        k=k,
        diversity=diversity,
        explain=explain,
    )
    found = recommend(query, plane, None)
    names = ids(found, plane)
    permitted = {name for name in PLANE if not kinds or FACTS[name]["kind"] in kinds}
    permitted -= {*like, *dislike, *exclude}
    assert len(set(names)) == len(names) == min(k, len(permitted))
    assert set(names) <= permitted
    assert set(found.missing) == {each for each in [*like, *dislike] if each not in PLANE}
    is_short = len(names) < k
    assert is_short == bool({"fewer_than_k", "filter_matches_nothing"} & set(found.degraded))
    assert all(np.isfinite(each.score) for each in found.items)
