"""G57: what callers send, and what the operator keeps secret, turns up nowhere else.

Every input of a running service gets a word of its own, well and badly formed. Afterwards none of
them is in the log, in the metrics, in a refusal, in a header, or in a name that Redis sees.
"""

import http.client
import itertools
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
import redis

from service.access.key_file import KeyFile
from service.access.keys import new_key
from service.access.rate import Rate
from service.index.publish import publish
from tests.faults.cache.redis_server import RedisServer

pytestmark = pytest.mark.redis

NOW = datetime(2026, 11, 2, tzinfo=UTC)
REDIS_PASSWORD = "canary-of-the-redis-password"
CURSOR_KEY = "canary-of-the-cursor-key"

Request = tuple[str, str, object, dict[str, str]]
"""Method, address, body (bytes as they are, all else as JSON), headers."""


class Canaries:
    """Words that nothing else holds; each is used once."""

    def __init__(self) -> None:
        self._numbers = itertools.count(100)
        self.every: list[str] = [REDIS_PASSWORD, CURSOR_KEY]

    def __call__(self) -> str:
        word = f"canary{next(self._numbers)}bird"
        self.every.append(word)
        return word

    def found_in(self, text: str) -> list[str]:
        return [each for each in self.every if each in text]


@dataclass(frozen=True)
class Sent:
    status: int
    text: str
    headers: str


def send(url: str, request: Request, secret: str) -> Sent:
    method, path, body, headers = request
    if not isinstance(body, bytes):
        body = b"" if body is None else json.dumps(body).encode()
    named = {"authorization": f"Bearer {secret}", "content-type": "application/json", **headers}
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=10)
    try:
        connection.request(method, path, body, named)
        response = connection.getresponse()
        text = response.read().decode()
        return Sent(response.status, text, str(response.headers))
    finally:
        connection.close()


def questions(word: Canaries) -> Iterator[Request]:
    """Bodies that are understood, and the same in all the ways in which they are not."""
    match = {"must": [{"key": "title", "match": {"any": [word(), word()]}}]}
    good: list[dict[str, Any]] = [
        {"like": [word(), {"id": word(), "weight": 2}], "dislike": [word()], "exclude": [word()]},
        {"text": f"{word()} {word()}", "explain": "words", "fields": [word()]},
        {"text": word(), "filter": match, "boost": [{"filter": match, "weight": 1}]},
        {"like": ["item-1"], "promoted": {"filter": match, "share": 0.5}, "explain": True},
    ]
    bad: list[dict[str, Any]] = [
        {"filter": {"must": [{"key": word(), "match": {"value": word()}}]}},
        {"filter": {"must": [{"key": "title", "range": {"gt": 1}}]}, "text": word()},
        {"limit_per": [{"key": word(), "max": 1}], "text": word()},
        {"cursor": word(), "text": word()},
        {"text": word(), "k": 0},
        {"text": [word()]},
        {word(): word()},
        {"like": [{"id": word(), word(): 1}]},
        {"strategy": word()},
        {"explain": word()},
    ]
    for body in [*good, *bad]:
        yield "POST", "/recommend", body, {}
        yield "POST", "/rank", {"ids": ["item-1", word()], **body}, {}
    yield "POST", "/recommend/batch", {"queries": [*good, *bad]}, {}
    for raw in (f'{{"text": "{word()}"', f'{{"a{word()}": 1, "k": 1, "k": 2}}', word(), "\ud800"):
        yield "POST", "/recommend", raw.encode(errors="surrogatepass"), {}
    yield "POST", "/recommend", word().encode(), {"content-type": f"text/{word()}"}
    yield "POST", "/recommend", {"text": word()}, {"request-timeout-ms": word()}
    yield "POST", "/recommend", {"text": word()}, {"authorization": f"Bearer mgp_0_{word()}"}
    yield "POST", "/recommend", {"text": word()}, {"x-api-key": word()}
    yield "POST", "/recommend", {"text": word()}, {"user-agent": word(), "cookie": word()}


def addresses(word: Canaries) -> Iterator[Request]:
    """Everything that can stand in an address."""
    for path in (
        f"/items/{word()}", f"/items/{word()}/similar?k=3", f"/{word()}?{word()}={word()}",
        f"/search?q={word()}+{word()}", f"/search?q=rye&{word()}=1", f"/search?q=rye&k={word()}",
        f"/search?q=rye&cursor={word()}", f"/search?q=rye&q={word()}", f"/web/{word()}",
        f"/items/item-1/similar?fields={word()}&explain=words", f"/info?{word()}={word()}",
        f"/items/{quote('a:*{}' + chr(13) + chr(10) + word(), safe='')}/similar",
    ):  # fmt: skip
        yield "GET", path, None, {}
        yield "GET", path, None, {"if-none-match": f'"{word()}"', "referer": word()}
        yield "DELETE", path, None, {}
    yield word().upper(), "/info", None, {}


def changes(word: Canaries) -> Iterator[Request]:
    """Items that are kept, and items that are not."""
    item = {"id": word(), "attributes": {"title": word(), "colour": word(), "tags": [word()]}}
    yield "PUT", "/items", {"items": [item]}, {}
    yield "PATCH", f"/items/{item['id']}", {"attributes": {"title": word()}}, {}
    yield "PATCH", f"/items/{item['id']}", {"attributes": {word(): {word(): 1}}}, {}
    yield "PATCH", f"/items/{word()}", {"attributes": {"title": word()}}, {}
    yield "PUT", "/items", {"items": [{"id": word(), "attributes": {"tags": [1, word()]}}]}, {}
    yield "PUT", "/items", {"items": [{"id": word(), word(): 1}]}, {}
    yield (
        "PUT",
        "/items",
        {"items": [{"id": word(), "attributes": {"available_until": word()}}]},
        {},
    )
    yield "GET", f"/items/{item['id']}", None, {}
    yield "GET", f"/items/{item['id']}/similar", None, {}


def names_in(server: RedisServer) -> list[str]:
    with redis.Redis(port=server.port, password=REDIS_PASSWORD, decode_responses=True) as client:
        return [str(each) for each in client.keys("*")]


@pytest.fixture
def guarded_redis(tmp_path: Path) -> Iterator[RedisServer]:
    binary = shutil.which("redis-server")
    assert binary, "install redis-server: the tests start a real one"
    server = RedisServer(binary, tmp_path)
    server.start()
    server.lock_out(REDIS_PASSWORD)
    yield server
    server.kill()


def test_no_input_and_no_secret_turns_up_where_it_does_not_belong(
    workshop: Any, tmp_path: Path, guarded_redis: RedisServer, wait: Callable[..., None]
) -> None:
    publish(workshop.indexes, "shop", workshop.build("shop", ["rye", "pot", "rose"], 1), now=NOW)
    file, word = KeyFile.new(), Canaries()
    made, secret = new_key("front", "write", Rate.parse("9999/s"), pepper=file.pepper, now=NOW)
    file.with_key(made).write(tmp_path / "keys.json")
    word.every.append(secret)
    log = tmp_path / "service.log"
    variables = {
        "MAGPIE_KEYS_FILE": str(tmp_path / "keys.json"),
        "MAGPIE_WRITABLE": "true",
        "MAGPIE_REDIS_URL": f"redis://:{REDIS_PASSWORD}@127.0.0.1:{guarded_redis.port}/0",
        "MAGPIE_REDIS_MIN_COST_MS": "0",
        "MAGPIE_CURSOR_KEY": CURSOR_KEY,
    }
    with workshop.serving("shop", log=log, **variables) as service:
        answered = [
            send(service.url, request, secret)
            for ask in (questions, addresses, changes)
            for request in ask(word)
        ]
        wait(lambda: len(names_in(guarded_redis)) > 20, "Redis to be written to")
        names = names_in(guarded_redis)
        # What a failing Redis makes it write down, too.
        guarded_redis.kill()
        answered += [send(service.url, request, secret) for request in questions(word)]
        metrics = send(service.url, ("GET", "/metrics", None, {}), secret)
        info = send(service.url, ("GET", "/info", None, {}), secret)
    refused = [each for each in answered if each.status >= 400]
    assert len(refused) > 50
    assert len(answered) - len(refused) > 20
    assert {each.status for each in answered} < set(range(200, 500)), "nothing broke"
    # They did go in: what was put is read back, by whoever may.
    assert any(word.found_in(each.text) for each in answered if each.status == 200)
    for each in refused:
        assert word.found_in(each.text) == [], each
    for each in answered:
        assert word.found_in(each.headers) == [], each
    # `/info` lists attributes, those of the version: what was put is not among them yet.
    assert word.found_in(metrics.text + info.text) == []
    assert b"Redis" in log.read_bytes()
    assert word.found_in(log.read_text()) == []
    assert {name[:9] for name in names} == {"magpie:1:"}
    assert word.found_in("\n".join(names)) == []
