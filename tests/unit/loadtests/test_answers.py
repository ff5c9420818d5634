import json

import pytest

from loadtests.answers import Expected, body_fault, read_body, status_fault

EXPECTED = Expected(source="similar", k=3, hidden=frozenset(["seed"]), condition=("colour", "red"))


def item(item_id: object, score: float = 0.5, colour: object = "red") -> dict[str, object]:
    return {"id": item_id, "score": score, "fields": {"colour": colour}}


def answer(**changes: object) -> dict[str, object]:
    right: dict[str, object] = {
        "items": [item("a", 0.9), item("b", 0.8, ["red", "blue"]), item("c", 0.7)],
        "index": "pins@1",
        "source": "similar",
        "degraded": [],
    }
    return right | changes


def test_right_answer_has_no_fault() -> None:
    assert body_fault(EXPECTED, 200, answer()) is None


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"items": [item("a"), item("a"), item("b")]}, "an item twice"),
        ({"items": [item("a"), item("seed"), item("b")]}, "a seed in its own list"),
        ({"items": [item(x) for x in "abcd"]}, "more items than asked"),
        ({"items": [item("a")]}, "fewer items than asked"),
        ({"items": [item("a")], "degraded": ["cache_unavailable"]}, "fewer items than asked"),
        ({"items": [item("a", 0.1), item("b", 0.2), item("c", 0.3)]}, "not in order of score"),
        ({"items": [item("a", 0.8), item("b", 0.9), item("c", 0.7)]}, "not in order of score"),
        ({"items": [item("a", 0.9), item("b", 0.7), item("c", 0.95)]}, "not in order of score"),
        ({"items": [item("a", float("nan")), item("b"), item("c")]}, "a score that is no number"),
        ({"items": [item("a", colour="blue"), item("b"), item("c")]}, "filter rules out"),
        ({"items": [item(7), item("b"), item("c")]}, "without an id"),
        ({"items": ["a", "b", "c"]}, "no list of items"),
        ({"index": None}, "no index name"),
        ({"source": "thin air"}, "unknown source"),
        ({"source": "fallback"}, "source is fallback"),
        ({"degraded": None}, "no degraded list"),
    ],
)
def test_wrong_answer_is_named(changes: dict[str, object], fault: str) -> None:
    assert fault in (body_fault(EXPECTED, 200, answer(**changes)) or "")


def test_short_list_that_says_why_is_right() -> None:
    short = answer(items=[item("a")], degraded=["fewer_than_k"])

    assert body_fault(EXPECTED, 200, short) is None


def test_near_duplicate_may_stand_behind_the_one_that_it_let_pass() -> None:
    apart = answer(items=[item("a", 0.9), item("b", 0.7), item("like a", 0.89)])

    assert body_fault(EXPECTED, 200, apart) is None


def test_diverse_list_need_not_be_in_order_of_score() -> None:
    expected = Expected(source="similar", k=3, is_ranked=False)
    mixed = answer(items=[item("a", 0.1), item("b", 0.9), item("c", 0.3)])

    assert body_fault(expected, 200, mixed) is None


def test_refusal_of_bad_input_is_right_only_with_its_own_status_and_code() -> None:
    expected = Expected(problems=frozenset([(404, "item_not_found")]))

    assert status_fault(expected, 404) is None
    assert body_fault(expected, 404, {"code": "item_not_found"}) is None
    assert body_fault(expected, 404, {"code": "not_found"}) == "body: wrong problem code"
    assert status_fault(expected, 200) == "status 200, expected 404"
    assert status_fault(expected, 500) == "status 500, expected 404"


def test_any_error_is_a_fault_where_a_list_is_due() -> None:
    assert status_fault(EXPECTED, 503) == "status 503, expected 200"


@pytest.mark.parametrize("body", [b"", b"<html>", b"[1]", b"\xff"])
def test_body_that_is_no_object_is_a_fault(body: bytes) -> None:
    assert body_fault(EXPECTED, 200, read_body(body)) == "body: not a JSON object"


def test_body_is_read_as_json() -> None:
    assert read_body(json.dumps({"a": 1}).encode()) == {"a": 1}
