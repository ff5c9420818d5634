"""Keys and rates of real processes: what is refused to start, and what passes in a minute."""

import itertools
import os
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from service.access.key_file import KeyFile
from service.access.keys import new_key
from service.access.rate import Rate
from service.index.publish import publish

EVERYTHING = os.environ.get("FAULTS") == "all"
NOW = datetime(2026, 11, 2, tzinfo=UTC)
PER_S = 100

Workshop = Any
StartRedis = Callable[[], tuple[int, subprocess.Popen[bytes]]]


@pytest.fixture
def shop(workshop: Workshop) -> Workshop:
    """A published catalogue of three items."""
    publish(workshop.indexes, "shop", workshop.build("shop", ["rye", "pot", "rose"], 1), now=NOW)
    return workshop


def make_key(path: Path, name: str, rate: str | None = None) -> str:
    file = KeyFile.read(path) if path.exists() else KeyFile.new()
    parsed = None if rate is None else Rate.parse(rate)
    made, secret = new_key(name, "read", parsed, pepper=file.pepper, now=NOW)
    file.with_key(made).write(path)
    return secret


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def status(url: str, secret: str | None, method: str = "GET") -> int:
    headers = {} if secret is None else {"x-api-key": secret}
    request = urllib.request.Request(url, headers=headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as it:
            return int(it.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_a_service_that_others_reach_asks_for_keys_and_hears_of_revocation(
    shop: Workshop, wait: Callable[..., None], tmp_path: Path
) -> None:
    keys = tmp_path / "keys.json"
    secret = make_key(keys, "front")
    variables = {"MAGPIE_HOST": "0.0.0.0", "MAGPIE_KEYS_FILE": str(keys)}
    with shop.serving("shop", **variables) as service:
        info = service.url + "/info"
        assert [status(info, each) for each in (None, "mgp_x_y", secret)] == [401, 401, 200]
        KeyFile.read(keys).without("front").write(keys)
        wait(lambda: status(info, secret) == 401, "the revocation to arrive", 5.0)


def test_the_admin_listener_is_another_one(shop: Workshop, tmp_path: Path) -> None:
    port = free_port()
    with shop.serving("shop", MAGPIE_ADMIN_PORT=str(port)) as service:
        for url, expected in ((service.url, 404), (f"http://127.0.0.1:{port}", 200)):
            assert status(f"{url}/admin/reload", None, "POST") == expected
        assert status(f"http://127.0.0.1:{port}/info", None) == 404
        assert service.stop() == 0


def test_a_service_that_others_reach_does_not_start_without_keys(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAGPIE_HOST", "0.0.0.0")
    ended = shop.serve_and_fail("shop")
    assert (ended.returncode, b"MAGPIE_KEYS_FILE" in ended.stderr) == (1, True)
    assert b"Traceback" not in ended.stderr


@pytest.mark.redis
def test_processes_that_share_a_redis_grant_a_rate_together(
    shop: Workshop, tmp_path: Path, redis_port: StartRedis
) -> None:
    """With FAULTS=all for a minute, in which the rate holds within 5 %."""
    keys = tmp_path / "keys.json"
    secret = make_key(keys, "front", f"{PER_S}/s")
    port, _ = redis_port()
    variables = {
        "MAGPIE_KEYS_FILE": str(keys),
        "MAGPIE_REDIS_URL": f"redis://127.0.0.1:{port}/0",
    }
    lasts_s = 60.0 if EVERYTHING else 2.0
    with ExitStack() as running:
        services = [running.enter_context(shop.serving("shop", **variables)) for _ in range(2)]
        urls = itertools.cycle(f"{each.url}/items/item-1/similar?k=1" for each in services)
        began = time.time()
        passed = send_evenly(urls, secret, 2 * PER_S, lasts_s)
        ended = time.time()
    # No window of a second grants more than the rate, whatever the machine does.
    assert 0 < passed <= PER_S * (int(ended) - int(began) + 1)
    if EVERYTHING:
        assert passed == pytest.approx(PER_S * lasts_s, rel=0.05)


def send_evenly(urls: Any, secret: str, per_s: float, lasts_s: float) -> int:
    """Send at a rate from a few threads; returns how many answers were no refusal."""
    statuses: list[int] = []
    due = itertools.count()
    began = time.monotonic()
    lock = threading.Lock()

    def run() -> None:
        while True:
            with lock:
                at_s, url = next(due) / per_s, next(urls)
            if at_s >= lasts_s:
                return
            time.sleep(max(0.0, began + at_s - time.monotonic()))
            statuses.append(status(url, secret))

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(statuses) <= {200, 429}
    return statuses.count(200)
