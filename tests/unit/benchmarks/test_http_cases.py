from pathlib import Path

import orjson
import pytest

from benchmarks.http_cases import Bodies, search_texts, usual_bodies, write_bodies
from benchmarks.http_catalogue import CATEGORIES, items
from service.api.schemas import RecommendRequest


@pytest.fixture(scope="module")
def bodies(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Bodies]:
    return write_bodies(tmp_path_factory.mktemp("bodies"), 500)


def lines_of(bodies: Bodies) -> list[bytes]:
    return bodies.path.read_bytes().splitlines()


def test_every_body_is_a_request_that_the_service_takes(bodies: dict[str, Bodies]) -> None:
    for each in bodies.values():
        lines = lines_of(each)
        assert len(lines) == each.count
        for line in lines[:40]:
            assert RecommendRequest.model_validate_json(line).k == 20


def test_what_is_to_miss_the_cache_is_asked_once(bodies: dict[str, Bodies]) -> None:
    for name in ("item", "filter", "text"):
        assert len(set(lines_of(bodies[name]))) == bodies[name].count


def test_lines_are_set_aside_once_until_none_is_left() -> None:
    few = Bodies(Path("none"), 10)
    assert [few.take(4), few.take(4), few.take(4)] == [0, 4, 0]


def test_the_usual_shape_is_asked_the_same(bodies: dict[str, Bodies]) -> None:
    ours, theirs = lines_of(bodies["filter"]), lines_of(usual_bodies(bodies["filter"]))
    assert len(ours) == len(theirs)
    asked, usual = orjson.loads(ours[0]), orjson.loads(theirs[0])
    assert usual["like"] == asked["like"]
    assert usual["must"][0]["value"] == asked["filter"]["must"][0]["match"]["value"]


def test_made_items_are_the_same_every_time_and_a_category_is_a_tenth() -> None:
    made = list(items(4_000, seed=3))
    assert made[:50] == list(items(50, seed=3))
    share = sum(each["category"] == "category-0" for each in made) / len(made)
    assert share == pytest.approx(1 / CATEGORIES, abs=0.02)
    assert len({each["id"] for each in made}) == len(made)


def test_search_texts_are_different_and_short() -> None:
    texts = search_texts(200)
    assert len(set(texts)) == 200
    assert all(2 <= len(text.split()) <= 5 for text in texts)
