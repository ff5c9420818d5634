"""What can be asked of a service, learnt from the service as any of its callers could."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from random import Random
from typing import Self
from urllib.parse import quote

from loadtests.target import Target

_LIST_LONGEST = 500
_NEIGHBOURS = 100
_FRUITLESS_MAX = 20
_TIMEOUT_S = 30.0
_VALUES_MAX = 50


class CannotLearn(Exception):
    """The service does not answer, or not as a Magpie service does."""


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Ids, most popular first, and the values of one attribute that lists can be filtered by.

    `filter_key` is None where the catalogue has no attribute worth filtering by.
    """

    ids: tuple[str, ...]
    filter_key: str | None
    filter_values: tuple[str, ...]

    def write(self, path: Path) -> None:
        """Store as JSON."""
        path.write_text(json.dumps(asdict(self), ensure_ascii=False), encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read what `write` stored."""
        stored = json.loads(path.read_text(encoding="utf-8"))
        return cls(tuple(stored["ids"]), stored["filter_key"], tuple(stored["filter_values"]))


def learn(target: Target, *, items: int, seed: int) -> Catalogue:
    """Find out ids and categories of a running service.

    The list for nobody gives up to 500 ids; neighbours of known ids, and theirs, give the rest.
    Popularity is then dealt out by chance, the same way for the same ids and seed.

    Args:
        target: a running service.
        items: how many ids are wanted; fewer are fine where the catalogue is smaller.
        seed: decides which ids are popular.

    Raises:
        CannotLearn: no answer, an error, or an answer of another form; says which.
    """
    connect = HTTPSConnection if target.scheme == "https" else HTTPConnection
    connection = connect(target.host, target.port, timeout=_TIMEOUT_S)
    try:
        key, values = _filterable(_ask(connection, "GET", "/info"))
        ids = _walk(connection, items, Random(seed))
    except (OSError, HTTPException) as error:
        raise CannotLearn(
            f"{target.url} does not answer: {error or type(error).__name__}"
        ) from error
    finally:
        connection.close()
    ordered = sorted(ids)
    Random(seed).shuffle(ordered)
    return Catalogue(tuple(ordered), key, values)


def _walk(connection: HTTPConnection, wanted: int, chance: Random) -> list[str]:
    """Collect ids from the list for nobody outwards, following what was found last."""
    wish = json.dumps({"k": min(wanted, _LIST_LONGEST), "fields": []}).encode()
    known = dict.fromkeys(_ids(_ask(connection, "POST", "/recommend", wish)))
    if not known:
        raise CannotLearn("The service has no items to ask for.")
    waiting = list(known) if len(known) >= _LIST_LONGEST else []
    chance.shuffle(waiting)
    fruitless = 0
    while waiting and len(known) < wanted and fruitless < _FRUITLESS_MAX:
        path = f"/items/{quote(waiting.pop(), safe='')}/similar?k={_NEIGHBOURS}"
        fresh = [each for each in _ids(_ask(connection, "GET", path)) if each not in known]
        known.update(dict.fromkeys(fresh))
        waiting.extend(fresh)
        fruitless = 0 if fresh else fruitless + 1
    return list(known)[:wanted]


def _ask(
    connection: HTTPConnection, method: str, path: str, body: bytes | None = None
) -> Mapping[str, object]:
    headers = {"content-type": "application/json"} if body is not None else {}
    connection.request(method, path, body, headers)
    response = connection.getresponse()
    content = response.read()
    route = path.partition("?")[0]
    if response.status != 200:
        raise CannotLearn(f"{method} {route} answered {response.status}, not 200.")
    try:
        answer = json.loads(content)
    except ValueError:
        raise CannotLearn(f"{method} {route} did not answer with JSON.") from None
    if not isinstance(answer, dict):
        raise CannotLearn(f"{method} {route} did not answer with a JSON object.")
    return answer


def _ids(answer: Mapping[str, object]) -> list[str]:
    items = answer.get("items")
    if not isinstance(items, list):
        raise CannotLearn("An answer has no list of items: is this a Magpie service?")
    return [str(item["id"]) for item in items if isinstance(item, dict) and "id" in item]


def _filterable(info: Mapping[str, object]) -> tuple[str | None, tuple[str, ...]]:
    """Choose `category`, or else the attribute whose commonest values cover most items."""
    attributes = info.get("attributes")
    counts = {
        str(key): _value_counts(column)
        for key, column in (attributes.items() if isinstance(attributes, dict) else ())
    }
    usable = {key: values for key, values in counts.items() if len(values) >= 2}
    if not usable:
        return None, ()
    covering = max(sorted(usable), key=lambda key: sum(usable[key].values()))
    key = "category" if "category" in usable else covering
    return key, tuple(usable[key])[:_VALUES_MAX]


def _value_counts(column: object) -> dict[str, int]:
    top = column.get("top") if isinstance(column, dict) else None
    pairs = top if isinstance(top, list) else []
    return {value: count for value, count in pairs if isinstance(value, str)}
