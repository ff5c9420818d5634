"""From a file of items to answers, through the real command, process, socket and files."""

import subprocess
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from service.errors import CorruptArtifact
from service.index.publish import publish, rollback

NOW = datetime(2026, 11, 2, tzinfo=UTC)
BREADS = ["rye bread", "sourdough bread", "white bread rolls", "flower pot", "garden flower bed"]
FLOWERS = ["red flower", "garden flower", "flower pot stand", "rye bread", "bread knife"]

Workshop = Any
StartRedis = Callable[[], tuple[int, subprocess.Popen[bytes]]]


class Traffic:
    """Keeps asking from a few threads, and remembers every answer."""

    def __init__(self, ask: Callable[[int], Any], threads: int = 3) -> None:
        self.answers: list[Any] = []
        self.failures: list[str] = []
        self._ask = ask
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(n,)) for n in range(threads)]

    def __enter__(self) -> "Traffic":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self, thread: int) -> None:
        turn = thread
        while not self._stop.is_set():
            turn += len(self._threads)
            try:
                answer = self._ask(turn)
            except OSError as error:
                self.failures.append(repr(error))
                continue
            if answer.status != 200:
                self.failures.append(f"{answer.status} {answer.body}")
            self.answers.append(answer)


def index_of(answer: Any) -> str:
    return str(answer.body["index"]).partition("@")[2]


def test_build_publish_serve_reload_and_rollback_without_a_failed_request(
    workshop: Workshop, wait: Callable[..., None]
) -> None:
    first = workshop.build("shop", BREADS, 1)
    second = workshop.build("shop", FLOWERS, 2)
    publish(workshop.indexes, "shop", first, now=NOW)
    with workshop.serving("shop") as service:
        assert (
            service.get("/search?q=bread&k=1").body["items"][0]["fields"]["title"].endswith("bread")
        )

        def ask(turn: int) -> Any:
            return service.recommend(like=[f"item-{turn % 5}"], k=1 + turn % 4)

        def serves(version: str) -> bool:
            return bool(index_of(service.recommend(k=1)) == version)

        with Traffic(ask) as traffic:
            for round_ in range(3):
                publish(workshop.indexes, "shop", second, now=NOW)
                wait(lambda: serves(second), f"the second version, round {round_}")
                rollback(workshop.indexes, "shop", first, now=NOW)
                wait(lambda: serves(first), f"the first version, round {round_}")

        assert traffic.failures == []
        assert {index_of(answer) for answer in traffic.answers} == {first, second}
        titles = {first: set(BREADS), second: set(FLOWERS)}
        for answer in traffic.answers:
            shown = {item["fields"]["title"] for item in answer.body["items"]}
            assert shown <= titles[index_of(answer)]
        assert service.stop() == 0


@pytest.mark.parametrize(
    "file", ["index.faiss", "vectors.npy", "items/items.jsonl", "manifest.json"]
)
def test_one_corrupt_byte_is_refused_and_the_old_version_keeps_serving(
    workshop: Workshop, wait: Callable[..., None], file: str
) -> None:
    first = workshop.build("shop", BREADS, 1)
    second = workshop.build("shop", FLOWERS, 2)
    publish(workshop.indexes, "shop", first, now=NOW)
    with workshop.serving("shop") as service:
        flip_a_byte(workshop.indexes / "shop" / second / file)
        with pytest.raises(CorruptArtifact):
            publish(workshop.indexes, "shop", second, now=NOW)
        assert index_of(service.recommend(k=1)) == first

        # And when somebody moves the pointer by hand, past the check:
        (workshop.indexes / "shop" / "CURRENT").write_text(second + "\n")
        wait(lambda: service.get("/readyz").body["last_refusal"], "the refusal to be noticed")
        answer = service.recommend(k=1)
        assert (answer.status, index_of(answer)) == (200, first)


def test_a_service_will_not_start_on_a_corrupt_index_and_says_which_file(
    workshop: Workshop,
) -> None:
    version = workshop.build("shop", BREADS, 1)
    publish(workshop.indexes, "shop", version, now=NOW)
    flip_a_byte(workshop.indexes / "shop" / version / "index.faiss")
    ended = workshop.serve_and_fail("shop")
    assert ended.returncode == 1
    assert b"index.faiss" in ended.stderr
    assert b"Traceback" not in ended.stderr


@pytest.mark.redis
def test_killing_redis_under_traffic_fails_no_request_and_is_told(
    workshop: Workshop, wait: Callable[..., None], redis_port: StartRedis
) -> None:
    publish(workshop.indexes, "shop", workshop.build("shop", BREADS, 1), now=NOW)
    port, redis = redis_port()
    # No room in the process, so that every answer has to ask Redis.
    variables = {"MAGPIE_REDIS_URL": f"redis://127.0.0.1:{port}/0", "MAGPIE_CACHE_BYTES": "0"}
    with workshop.serving("shop", **variables) as service:

        def ask(turn: int) -> Any:
            return service.recommend(like=[f"item-{turn % 5}"], k=1 + turn % 4)

        with Traffic(ask) as traffic:
            wait(lambda: len(traffic.answers) > 100, "some traffic with Redis")
            redis.kill()
            seen = len(traffic.answers)
            wait(lambda: len(traffic.answers) > seen + 200, "some traffic without Redis")

        assert traffic.failures == []
        assert traffic.answers[-1].body["degraded"] == ["cache_unavailable"]
        assert traffic.answers[10].body["degraded"] == []
        ready = service.get("/readyz")
        assert (ready.status, ready.body["degraded"]) == (200, ["cache_unavailable"])


def flip_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x01
    path.write_bytes(bytes(content))
