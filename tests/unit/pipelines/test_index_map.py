"""Maps of small catalogues, and pictures of them that are read back as XML."""

import builtins
import itertools
from collections.abc import Callable, Mapping, Sequence
from xml.etree import ElementTree

import numpy as np
import pytest

from service.errors import InvalidInput, InvalidSettings
from service.index.snapshot import Snapshot
from service.pipelines.index_map import MOST_GROUPS, IndexMap, lay_out
from service.pipelines.map_drawing import draw, place_labels
from service.types import AttributeValue, Item, ItemId, Vectors

MakeVersion = Callable[..., Snapshot]
SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = '<script>alert(1)</script> & "quotes" ]]> \x00\x1b\ufffe👩\u200d🚀'


def clusters(count: int = 4, each: int = 15, dim: int = 16) -> Vectors:
    chance = np.random.default_rng(3)
    centres = np.repeat(np.eye(dim)[:count], each, axis=0)
    vectors = centres + 0.1 * chance.standard_normal(centres.shape)
    return np.ascontiguousarray(vectors, dtype=np.float32)


def items(facts: Sequence[Mapping[str, AttributeValue]]) -> list[Item]:
    return [
        Item(ItemId(f"i{n}"), f"Item {n}", {"title": f"Item {n}", **fact})
        for n, fact in enumerate(facts)
    ]


def by_cluster(count: int = 4, each: int = 15) -> list[dict[str, AttributeValue]]:
    kinds = ("apples", "boats", "clocks", "drums")
    # Half of all items are new, which has nothing to do with where they are.
    return [
        {"kind": kinds[n // each], "state": "new" if n % 2 else "used", "all": "same"}
        for n in range(count * each)
    ]


@pytest.fixture
def four(make_version: MakeVersion) -> Snapshot:
    return make_version(items(by_cluster()), clusters())


def test_neighbours_in_the_version_are_neighbours_on_the_map(four: Snapshot) -> None:
    points = lay_out(four).points.astype(np.float64)
    distances = np.linalg.norm(points[:, np.newaxis] - points, axis=2)
    np.fill_diagonal(distances, np.inf)
    assert points.shape == (60, 2)
    assert (distances.argmin(axis=1) // 15 == np.arange(60) // 15).all()


def test_colour_is_the_attribute_that_neighbours_share(four: Snapshot) -> None:
    drawn = lay_out(four)
    assert drawn.colour_by == "kind"
    assert drawn.groups == ("apples", "boats", "clocks", "drums")
    assert drawn.group.tolist() == [n // 15 for n in range(60)]


def test_attribute_can_be_chosen_and_must_exist(four: Snapshot) -> None:
    assert lay_out(four, colour_by="state").groups == ("new", "used")
    with pytest.raises(InvalidInput, match=r"attribute 'colour'.*all, kind, state, title"):
        lay_out(four, colour_by="colour")


def test_same_seed_gives_the_same_picture(four: Snapshot) -> None:
    assert draw(lay_out(four, seed=2, most=30)) == draw(lay_out(four, seed=2, most=30))


def test_large_catalogue_is_sampled_and_the_picture_says_so(four: Snapshot) -> None:
    drawn = lay_out(four, most=30)
    assert len(drawn.items) == 30
    assert "30 of 60 items" in draw(drawn)
    assert "all 60 items" in draw(lay_out(four))


def test_without_a_telling_attribute_there_is_one_colour(make_version: MakeVersion) -> None:
    snapshot = make_version(items([{"n": n} for n in range(20)]), clusters(2, 10))
    drawn = lay_out(snapshot)
    assert (drawn.colour_by, drawn.groups) == (None, ())
    assert len({circle.get("fill") for circle in circles(draw(drawn))}) == 1


def test_values_beyond_the_most_frequent_are_grey(make_version: MakeVersion) -> None:
    facts = [{"kind": f"kind {n // 2}"} for n in range(2 * MOST_GROUPS)]
    facts += [{"kind": f"rare {n}"} for n in range(5)]
    snapshot = make_version(items(facts), clusters(5, 17))
    drawn = lay_out(snapshot, colour_by="kind")
    assert len(drawn.groups) == MOST_GROUPS
    assert (drawn.group < 0).sum() == 5
    assert "others, or none" in draw(drawn)


def test_numbers_and_lists_can_colour_too(make_version: MakeVersion) -> None:
    facts: list[dict[str, AttributeValue]] = [
        {"year": 1990 + n % 3, "tags": ["b", "a"] if n % 2 else []} for n in range(12)
    ]
    snapshot = make_version(items(facts), clusters(2, 6))
    assert lay_out(snapshot, colour_by="year").groups == ("1990", "1991", "1992")
    assert lay_out(snapshot, colour_by="tags").groups == ("b",)


def test_equal_vectors_are_a_map_too(make_version: MakeVersion) -> None:
    vectors = np.ones((20, 8), np.float32)
    drawn = lay_out(make_version(items([{} for _ in range(20)]), vectors))
    assert np.isfinite(drawn.points).all()
    assert len(circles(draw(drawn))) == 20


def test_too_few_items_are_refused(make_version: MakeVersion) -> None:
    with pytest.raises(InvalidInput, match="9 items are too few"):
        lay_out(make_version(items([{}] * 9), clusters(1, 9)))


def test_missing_library_is_told_with_its_extra(
    four: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without(name: str, *rest: object) -> object:
        if name.startswith("sklearn"):
            raise ImportError(name)
        return real(name, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(InvalidSettings, match=r"scikit-learn.*magpie\[inspect\]"):
        lay_out(four)


def test_picture_is_valid_whatever_the_titles_hold(make_version: MakeVersion) -> None:
    things = [
        Item(ItemId(f"<{n}>&"), "text", {"title": HOSTILE, "<key>": f"<b>{n % 2}</b>&"})
        for n in range(20)
    ]
    picture = draw(lay_out(make_version(things, clusters(2, 10)), colour_by="<key>"))
    root = ElementTree.fromstring(picture)
    tooltips = [circle.findtext(f"{SVG}title") for circle in circles(picture)]
    assert tooltips[0] == '<script>alert(1)</script> & "quotes" ]]> 👩\u200d🚀 (<0>&) · <b>0</b>&'
    assert not root.findall(f".//{SVG}script")
    assert "http" not in picture.replace("http://www.w3.org/2000/svg", "")


def test_every_item_is_a_point_inside_the_field(four: Snapshot) -> None:
    places = [(float(c.get("cx", 0)), float(c.get("cy", 0))) for c in circles(draw(lay_out(four)))]
    assert len(places) == 60
    assert all(40 <= x <= 1080 and 112 <= y <= 900 for x, y in places)


def test_groups_have_colours_of_their_own(four: Snapshot) -> None:
    assert len({circle.get("fill") for circle in circles(draw(lay_out(four)))}) == 4


def test_only_groups_that_lie_together_have_a_label(four: Snapshot) -> None:
    def labels(colour_by: str) -> list[str | None]:
        root = ElementTree.fromstring(draw(lay_out(four, colour_by=colour_by)))
        return [text.text for text in root.findall(f".//{SVG}text[@class='label']")]

    assert labels("kind") == ["apples", "boats", "clocks", "drums"]
    assert labels("state") == []


def test_labels_never_overlap_and_give_way_where_there_is_no_room() -> None:
    names = [f"label number {n}" for n in range(30)]
    spots = place_labels([(500.0, 500.0)] * 30, names, np.empty((0, 2)))
    placed = [spot for spot in spots if spot is not None]
    assert spots[0] == (500.0, 500.0)
    assert 3 <= len(placed) < 30
    for (x, y), (other_x, other_y) in itertools.combinations(placed, 2):
        assert abs(x - other_x) > 100 or abs(y - other_y) > 15


def test_label_moves_off_the_points_it_would_hide() -> None:
    points = np.array([(500.0 + x, 495.0) for x in range(-20, 21, 4)])
    ((x, y),) = [spot for spot in place_labels([(500.0, 500.0)], ["hat"], points) if spot]
    assert abs(y - 500) >= 8 or abs(x - 500) >= 20


def test_label_at_the_edge_stays_in_the_field() -> None:
    (spot,) = place_labels([(45.0, 120.0)], ["a rather long label"], np.empty((0, 2)))
    assert spot is not None
    assert spot[0] > 100


def circles(picture: str) -> list[ElementTree.Element]:
    return ElementTree.fromstring(picture).findall(f".//{SVG}circle[@class='point']")


def test_map_keeps_what_made_it(four: Snapshot) -> None:
    drawn: IndexMap = lay_out(four, seed=9)
    picture = draw(drawn)
    assert f"version {four.version}" in picture
    assert "model by-hand@0000000" in picture
    assert "seed 9" in picture
