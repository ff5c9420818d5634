"""What shapes a list beside its seeds: caps, boosts, promoted places, pages, near-duplicates."""

from collections.abc import Callable

import numpy as np
import pytest

from service.errors import InvalidFilter, InvalidInput, InvalidQuery
from service.index.shelf import Shelf
from service.recommend.engine import recommend, recommend_all
from service.types import (
    AttributeValue,
    Boost,
    Cap,
    Counts,
    Filter,
    ItemId,
    Match,
    Promotion,
    Query,
    Range,
    Recommendations,
    Seed,
    Strategy,
)

MakeSnapshot = Callable[..., Shelf]

# A fan: every item a little further from the first one, and none near enough to be its like.
STEPS = 12
FAN = {f"i{n}": [float(np.cos(n * 0.25)), float(np.sin(n * 0.25))] for n in range(STEPS)}
FACTS: dict[str, dict[str, AttributeValue]] = {
    f"i{n}": {"artist": f"a{n // 4}", "tags": ["odd" if n % 2 else "even", "all"], "price": n}
    for n in range(STEPS)
}


@pytest.fixture
def fan(make_snapshot: MakeSnapshot) -> Shelf:
    return make_snapshot(FAN, FACTS)


def like(*ids: str) -> tuple[Seed, ...]:
    return tuple(Seed(ItemId(each)) for each in ids)


def only(key: str, *values: str | int) -> Filter:
    return Filter(must=(Match(key, values),))


def ids(found: Recommendations, shelf: Shelf) -> list[str]:
    return [shelf.id(each.row) for each in found.items]


def ask(shelf: Shelf, **query: object) -> list[str]:
    return ids(recommend(Query(**query), shelf, None), shelf)  # type: ignore[arg-type]


def test_a_cap_bounds_every_value_and_the_next_best_follow(fan: Shelf) -> None:
    capped = recommend(Query(like=like("i0"), k=6, limit_per=(Cap("artist", 2),)), fan, None)
    assert ids(capped, fan) == ["i1", "i2", "i4", "i5", "i8", "i9"]
    assert capped.degraded == ()


def test_a_cap_that_leaves_too_few_says_so(fan: Shelf) -> None:
    found = recommend(Query(like=like("i0"), k=8, limit_per=(Cap("artist", 1),)), fan, None)
    assert ids(found, fan) == ["i1", "i4", "i8"]
    assert found.degraded == ("fewer_than_k",)
    assert found.counts == Counts(asked=8, found=3, limit_per=8)


def test_a_list_attribute_counts_with_each_of_its_values(fan: Shelf) -> None:
    assert ask(fan, like=like("i0"), k=5, limit_per=(Cap("tags", 1),)) == ["i1"]


def test_caps_look_further_than_the_first_candidates(make_snapshot: MakeSnapshot) -> None:
    angles = np.linspace(0, 1.5, 400)
    vectors = {f"i{n}": [float(np.cos(a)), float(np.sin(a)), n % 2] for n, a in enumerate(angles)}
    facts = {name: {"shop": "big" if n < 390 else f"s{n}"} for n, name in enumerate(vectors)}
    shelf = make_snapshot(vectors, facts)
    query = Query(like=like("i0"), k=5, limit_per=(Cap("shop", 1),), near_duplicates=True)
    found = recommend(query, shelf, None)
    assert len(found.items) == 5
    assert len({str(shelf.attributes(each.row)["shop"]) for each in found.items}) == 5


def test_a_cap_on_what_no_item_has_is_an_error(fan: Shelf) -> None:
    with pytest.raises(InvalidQuery, match="limit_per"):
        recommend(Query(like=like("i0"), limit_per=(Cap("colour", 1),)), fan, None)


def test_a_boost_lifts_from_anywhere_in_the_catalogue(fan: Shelf) -> None:
    boost = (Boost(only("price", 11), 3.0),)
    found = recommend(Query(like=like("i0"), k=2, boost=boost, explain=True), fan, None)
    assert ids(found, fan) == ["i11", "i1"]
    assert found.items[0].score == pytest.approx(np.cos(11 * 0.25) + 3.0, abs=1e-5)
    assert [each.why.boost for each in found.items if each.why] == [3.0, 0.0]


def test_a_boost_below_zero_sinks(fan: Shelf) -> None:
    assert ask(fan, like=like("i0"), k=2, boost=(Boost(only("tags", "odd"), -2.0),)) == ["i2", "i4"]


def test_boosts_add_up_and_obey_the_filter(fan: Shelf) -> None:
    boost = (Boost(only("price", 9, 10), 2.0), Boost(only("price", 10), 2.0))
    assert ask(fan, like=like("i0"), k=3, boost=boost) == ["i10", "i9", "i1"]
    below = Filter(must=(Range("price", lt=10),))
    assert ask(fan, like=like("i0"), k=2, boost=boost, filter=below) == ["i9", "i1"]


def test_boosted_items_lead_the_list_for_nobody(fan: Shelf) -> None:
    assert ask(fan, k=3, boost=(Boost(only("price", 4), 0.1),)) == ["i4", "i11", "i10"]


def test_promoted_items_have_their_share_of_places_and_are_marked(fan: Shelf) -> None:
    promoted = Promotion(only("artist", "a2"), 0.5)
    found = recommend(Query(like=like("i0"), k=6, promoted=promoted), fan, None)
    assert ids(found, fan) == ["i1", "i8", "i2", "i9", "i3", "i10"]
    assert [each.is_promoted for each in found.items] == [False, True] * 3


def test_promoted_places_without_anything_to_promote_are_filled_and_told(fan: Shelf) -> None:
    promoted = Promotion(only("price", 11), 0.5)
    found = recommend(Query(like=like("i0"), k=4, promoted=promoted), fan, None)
    assert ids(found, fan) == ["i1", "i11", "i2", "i3"]
    assert found.degraded == ("too_few_promoted",)


def test_min_score_cuts_and_is_no_reason_to_fill(fan: Shelf) -> None:
    found = recommend(Query(like=like("i0"), k=9, min_score=0.5), fan, None)
    assert ids(found, fan) == ["i1", "i2", "i3", "i4"]
    assert (found.degraded, found.counts.found, found.counts.back_filled) == (
        ("fewer_than_k",),
        4,
        0,
    )


def test_min_score_without_a_known_seed_leaves_nothing(fan: Shelf) -> None:
    found = recommend(Query(like=like("gone"), k=9, min_score=0.1), fan, None)
    assert found.items == ()
    assert found.degraded == ("no_known_seed", "fewer_than_k")


def test_near_duplicates_are_moved_apart(make_snapshot: MakeSnapshot) -> None:
    vectors = {"seed": [1.0, 0.0], "a": [0.9, 0.1], "a2": [0.9, 0.1], "b": [0.8, 0.5]}
    shelf = make_snapshot(vectors, {})
    assert ask(shelf, like=like("seed"), k=3) == ["a", "b", "a2"]
    assert ask(shelf, like=like("seed"), k=3, near_duplicates=True) == ["a", "a2", "b"]


def test_near_duplicates_that_nothing_can_part_are_left_out(make_snapshot: MakeSnapshot) -> None:
    vectors = {"seed": [1.0, 0.0], "a": [0.9, 0.1], "a2": [0.9, 0.1], "a3": [0.9, 0.1]}
    found = recommend(Query(like=like("seed"), k=3), make_snapshot(vectors, {}), None)
    assert len(found.items) == 1
    assert found.counts == Counts(asked=3, found=1, near_duplicate=2)
    assert found.degraded == ("fewer_than_k",)


def test_a_list_of_copies_looks_further_for_something_else(make_snapshot: MakeSnapshot) -> None:
    vectors = {"seed": [1.0, 0.0], **{f"copy{n}": [0.9, 0.1] for n in range(150)}}
    vectors |= {"far": [0.1, 0.9], "farther": [-0.9, 0.1]}
    found = ask(make_snapshot(vectors, {}), like=like("seed"), k=4)
    assert [name.rstrip("0123456789") for name in found] == ["copy", "far", "copy", "farther"]


def test_pages_go_on_where_the_one_before_ended(fan: Shelf) -> None:
    first = ask(fan, like=like("i0"), k=4)
    second = ask(fan, like=like("i0"), k=4, shown=tuple(map(ItemId, first)))
    assert first + second == ask(fan, like=like("i0"), k=8)


def test_caps_and_promoted_places_hold_over_pages(fan: Shelf) -> None:
    whole: dict[str, object] = {
        "like": like("i0"),
        "limit_per": (Cap("artist", 2),),
        "promoted": Promotion(only("tags", "odd"), 0.3),
    }
    first = ask(fan, k=3, **whole)
    second = ask(fan, k=3, shown=tuple(map(ItemId, first)), **whole)
    assert first + second == ask(fan, k=6, **whole)


def test_a_given_list_is_ordered_seeds_included(fan: Shelf) -> None:
    query = Query(like=like("i5"), k=4, among=tuple(map(ItemId, ["i1", "gone", "i10", "i5", "i4"])))
    found = recommend(query, fan, None)
    assert ids(found, fan) == ["i5", "i4", "i1", "i10"]
    assert found.missing == ("gone",)


def test_a_given_list_without_anything_to_go_by_stays_as_it_is(fan: Shelf) -> None:
    given = tuple(map(ItemId, ["i7", "i1", "i9"]))
    found = recommend(Query(like=like("gone"), k=3, among=given), fan, None)
    assert (ids(found, fan), found.source) == (["i7", "i1", "i9"], "fallback")


@pytest.mark.parametrize("strategy", ["average_vector", "sum_scores", "best_score"])
def test_strategies_agree_on_a_single_like(fan: Shelf, strategy: str) -> None:
    assert ask(fan, like=like("i0"), k=5, strategy=strategy) == ask(fan, like=like("i0"), k=5)


@pytest.mark.parametrize("strategy", ["sum_scores", "best_score"])
def test_dislikes_alone_lead_away(fan: Shelf, strategy: Strategy) -> None:
    query = Query(dislike=like("i0"), strategy=strategy, k=2, explain=True, in_words=True)
    found = recommend(query, fan, None)
    assert ids(found, fan) == ["i11", "i10"]
    assert found.source == "similar"
    assert found.items[0].why is not None
    assert found.items[0].why.words == "This is far from “i0”, which you disliked."


def test_an_average_of_nothing_but_dislikes_is_nothing_to_go_by(fan: Shelf) -> None:
    assert recommend(Query(dislike=like("i0"), k=2), fan, None).source == "fallback"


def test_the_best_score_keeps_to_the_nearest_seed_and_off_the_disliked(fan: Shelf) -> None:
    # Between the two likes lies nothing that is near to one of them.
    liked = like("i1", "i10")
    best = ask(fan, like=liked, k=4, strategy="best_score")
    assert set(best) == {"i0", "i2", "i9", "i11"}
    query = Query(like=like("i1", "i8"), dislike=like("i10"), k=9, strategy="best_score")
    turned = recommend(query, fan, None)
    scores = {str(fan.id(each.row)): each.score for each in turned.items}
    # i11 is nearer to what is disliked than to anything liked, i7 is not.
    assert scores["i7"] > 0 > scores["i11"]
    assert scores["i7"] == pytest.approx(np.cos(0.25), abs=1e-5)
    assert "i10" not in scores


def test_weights_count_in_every_strategy(fan: Shelf) -> None:
    pulled = (Seed(ItemId("i1"), 0.2), Seed(ItemId("i10"), 5.0))
    for strategy in ("average_vector", "sum_scores", "best_score"):
        assert ask(fan, like=pulled, k=1, strategy=strategy)[0] in {"i9", "i11"}


def test_a_reason_in_words_names_titles_and_what_is_shared(make_snapshot: MakeSnapshot) -> None:
    facts: dict[str, dict[str, AttributeValue]] = {
        **{f"i{n}": {"title": f"Title {n}"} for n in range(STEPS)},
        "i0": {"title": "Rye bread", "board": "Sunday"},
        "i1": {"title": "Oat bread", "board": "Sunday"},
    }
    shelf = make_snapshot(FAN, facts)
    query = Query(like=like("i0"), k=2, explain=True, in_words=True)
    told = [each.why.words for each in recommend(query, shelf, None).items if each.why]
    assert told == [
        "This is here because you liked “Rye bread” (100%); "
        "like “Rye bread” it has board (Sunday).",
        "This is here because you liked “Rye bread” (100%).",
    ]


def test_many_questions_are_answered_as_each_alone(fan: Shelf) -> None:
    queries = [
        Query(like=like("i0"), k=3),
        Query(like=like("i5"), k=7, filter=only("tags", "odd")),
        Query(like=like("i2", "i9"), dislike=like("i4"), strategy="best_score", k=4),
        Query(like=like("i1"), k=2, filter=only("colour", "red")),
        Query(k=4),
        Query(like=like("i7"), k=3, filter=only("tags", "odd"), diversity=0.5),
        Query(like=like("i3"), k=2, boost=(Boost(only("price", 11), 2.0),)),
    ]
    together = recommend_all(queries, fan, [None] * len(queries))
    for query, found in zip(queries, together, strict=True):
        if isinstance(found, InvalidInput):
            with pytest.raises(InvalidFilter):
                recommend(query, fan, None)
        else:
            alone = recommend(query, fan, None)
            assert ids(found, fan) == ids(alone, fan)
            assert (found.counts, found.degraded) == (alone.counts, alone.degraded)


def test_a_list_that_the_caller_gave_counts_as_found(fan: Shelf) -> None:
    given = tuple(map(ItemId, ["i7", "i1", "gone"]))
    query = Query(like=like("unknown"), k=3, among=given, explain=True, in_words=True)
    found = recommend(query, fan, None)
    assert (found.counts.found, found.counts.back_filled) == (2, 0)
    assert found.counts.back_filled_from is None
    assert found.items[0].why is not None
    assert found.items[0].why.words == "This is one of the given items."


def test_an_item_nearer_to_a_dislike_says_so(fan: Shelf) -> None:
    query = Query(like=like("i0"), dislike=like("i9"), k=8, explain=True, in_words=True)
    found = recommend(query, fan, None)
    said = [
        "nearer to something that you disliked" in (e.why.words if e.why else "")
        for e in found.items
    ]
    assert said == [item.score < -1 for item in found.items]
    assert {True, False} == set(said)


def test_no_item_nearer_to_a_dislike_comes_while_another_one_is_left(
    make_snapshot: MakeSnapshot,
) -> None:
    # The nearest hundred are nearer still to what is disliked; behind them are good ones.
    near = {f"near{n}": [1.0, 0.3 + n / 1000, 0.0] for n in range(100)}
    good = {f"good{n}": [1.0, -0.5, n / 100] for n in range(10)}
    shelf = make_snapshot({"liked": [1.0, 0.0, 0.0], "bad": [1.0, 0.5, 0.0], **near, **good}, {})
    found = ask(shelf, like=like("liked"), dislike=like("bad"), k=5, near_duplicates=True)
    assert all(each.startswith("good") for each in found)
