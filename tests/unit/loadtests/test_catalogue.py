import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from loadtests.catalogue import CannotLearn, Catalogue, learn
from loadtests.target import parse_target

Serve = Callable[..., str]


def learn_from(url: str, items: int = 2000, seed: int = 7) -> Catalogue:
    return learn(parse_target(url, is_owned=False), items=items, seed=seed)


def test_small_catalogue_is_learnt_whole(serve: Serve) -> None:
    learnt = learn_from(serve(size=40))

    assert sorted(learnt.ids) == sorted(f"item/{number}" for number in range(40))


def test_catalogue_longer_than_one_list_is_walked(serve: Serve) -> None:
    learnt = learn_from(serve(size=900))

    assert len(set(learnt.ids)) == 900


def test_no_more_is_learnt_than_wanted(serve: Serve) -> None:
    assert len(learn_from(serve(size=900), items=120).ids) == 120


def test_popularity_depends_on_the_seed_alone(serve: Serve) -> None:
    url = serve(size=60)

    assert learn_from(url, seed=1) == learn_from(url, seed=1)
    assert learn_from(url, seed=1).ids != learn_from(url, seed=2).ids


def test_filter_values_are_learnt(serve: Serve) -> None:
    learnt = learn_from(serve(size=60))

    assert (learnt.filter_key, learnt.filter_values) == (
        "category",
        ("baking", "cycling", "garden"),
    )


def test_without_category_the_attribute_that_covers_most_is_used(serve: Serve) -> None:
    columns = {
        "year": {"kind": "number", "top": [[1999, 50]]},
        "language": {"kind": "keyword", "top": [["en", 30], ["zh", 5]]},
        "genre": {"kind": "keyword", "top": [["drama", 30], ["noir", 20]]},
        "single": {"kind": "keyword", "top": [["x", 60]]},
    }

    assert learn_from(serve(size=60, attributes=columns)).filter_key == "genre"


def test_catalogue_without_attributes_has_no_filter(serve: Serve) -> None:
    assert learn_from(serve(size=60, attributes={})).filter_key is None


def test_service_without_items_is_refused(serve: Serve) -> None:
    with pytest.raises(CannotLearn, match="no items"):
        learn_from(serve(size=0))


def test_service_that_answers_with_errors_is_refused(serve: Serve) -> None:
    with pytest.raises(CannotLearn, match="GET /info answered 503"):
        learn_from(serve(behaviour="starting"))


def test_nobody_there_is_said_plainly() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{bound.getsockname()[1]}"

        with pytest.raises(CannotLearn, match="does not answer"):
            learn_from(url)


def test_catalogue_survives_being_stored(tmp_path: Path) -> None:
    learnt = Catalogue(("一", "b"), "类别", ("x",))

    learnt.write(tmp_path / "catalogue.json")

    assert Catalogue.read(tmp_path / "catalogue.json") == learnt
