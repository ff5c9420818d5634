"""Whether an answer is right, not only whether it is 200."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_SOURCES = ("personal", "similar", "search", "fallback")


@dataclass(frozen=True, slots=True)
class Expected:
    """What a right answer to one request looks like.

    `problems` holds the (status, code) pairs one of which bad input must get; empty means that a
    list is due. `hidden` are ids that must not be in it, `condition` an attribute and the value
    that every item must have.
    """

    problems: frozenset[tuple[int, str]] = frozenset()
    source: str = ""
    k: int = 20
    hidden: frozenset[str] = frozenset()
    condition: tuple[str, str] | None = None
    is_ranked: bool = True


def status_fault(expected: Expected, status: int) -> str | None:
    """Name what is wrong with the status code, if anything. Cheap: done for every answer."""
    right = {code for code, _ in expected.problems} or {200}
    if status in right:
        return None
    return f"status {status}, expected {' or '.join(str(code) for code in sorted(right))}"


def read_body(body: bytes) -> Mapping[str, object]:
    """Read an answer's body; one that is not a JSON object reads as an empty one."""
    try:
        answer = json.loads(body)
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}


def body_fault(expected: Expected, status: int, answer: Mapping[str, object]) -> str | None:
    """Name the first thing that is wrong with the body, if anything, without repeating its ids."""
    if not answer:
        return "body: not a JSON object"
    if expected.problems:
        code = answer.get("code")
        return None if (status, code) in expected.problems else "body: wrong problem code"
    return _frame_fault(expected, answer) or _items_fault(expected, answer)


def _frame_fault(expected: Expected, answer: Mapping[str, object]) -> str | None:
    """Check everything around the items."""
    index, source, degraded = answer.get("index"), answer.get("source"), answer.get("degraded")
    items = answer.get("items")
    if not isinstance(index, str) or not index:
        return "body: no index name"
    if source not in _SOURCES:
        return "body: unknown source"
    if not isinstance(degraded, list):
        return "body: no degraded list"
    # A cache that is down explains a slow answer, never a short or different one.
    has_reason = any(not str(reason).startswith("cache") for reason in degraded)
    if source != expected.source and not has_reason:
        return f"body: source is {source}, expected {expected.source}, and no reason given"
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        return "body: no list of items"
    if len(items) > expected.k:
        return "body: more items than asked"
    if len(items) < expected.k and not has_reason:
        return "body: fewer items than asked, and no reason given"
    return None


def _items_fault(expected: Expected, answer: Mapping[str, object]) -> str | None:
    items = answer["items"]
    assert isinstance(items, list)  # the frame was checked first
    ids = [item.get("id") for item in items]
    scores = [item.get("score") for item in items]
    if not all(isinstance(each, str) and each for each in ids):
        return "body: an item without an id"
    if len(set(ids)) < len(ids):
        return "body: an item twice"
    if expected.hidden.intersection(ids):
        return "body: a seed in its own list"
    if not all(isinstance(each, int | float) and math.isfinite(each) for each in scores):
        return "body: a score that is no number"
    if expected.is_ranked and not _is_in_order(scores):
        return "body: not in order of score"
    if expected.condition is not None and not _all_meet(expected.condition, items):
        return "body: an item that the filter rules out"
    return None


def _is_in_order(scores: Sequence[float]) -> bool:
    """Whether scores fall, but for items that have let one pass so as not to follow their like.

    Near-duplicates never stand side by side: the second of two waits until another one stands
    between them, so it has at most the score of the item before that one.
    """
    rises = [place for place in range(1, len(scores)) if scores[place] > scores[place - 1]]
    return all(place > 1 and scores[place] <= scores[place - 2] for place in rises)


def _all_meet(condition: tuple[str, str], items: Sequence[Mapping[str, object]]) -> bool:
    key, value = condition
    for item in items:
        fields = item.get("fields")
        found = fields.get(key) if isinstance(fields, dict) else None
        if found != value and not (isinstance(found, list) and value in found):
            return False
    return True
