"""Hot swaps under load: several workers on one folder of indexes, one publisher, no casualties."""

import os
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any

from service.index.publish import publish, rollback

EVERYTHING = os.environ.get("FAULTS") == "all"
"""`make test-faults` sets it."""
NOW = datetime(2026, 11, 2, tzinfo=UTC)

Workshop = Any
WORDS = ["rye", "sourdough", "white", "garden", "flower", "pot", "stand", "knife", "red", "bread"]


def titles(version: int, count: int) -> list[str]:
    """Titles that say which version they belong to."""
    return [f"{WORDS[n % 10]} {WORDS[n // 10 % 10]} v{version}" for n in range(count)]


def test_swaps_under_load_fail_no_request_and_mix_no_versions(
    workshop: Workshop, wait: Callable[..., None]
) -> None:
    swaps, workers = (100, 3) if EVERYTHING else (6, 2)
    shown = [titles(1, 60), titles(2, 80)]
    versions = [workshop.build("shop", each, minute) for minute, each in enumerate(shown, 1)]
    for version in reversed(versions):
        publish(workshop.indexes, "shop", version, now=NOW)
    with ExitStack() as running:
        services = [running.enter_context(workshop.serving("shop")) for _ in range(workers)]
        answers: list[Any] = []
        failures: list[str] = []
        over = threading.Event()

        def ask(service: Any, number: int) -> None:
            while not over.is_set():
                number += 1
                try:
                    answer = service.recommend(like=[f"item-{number % 60}"], k=1 + number % 9)
                except OSError as error:
                    failures.append(repr(error))
                    continue
                if answer.status != 200:
                    failures.append(f"{answer.status} {answer.body}")
                else:
                    answers.append(answer.body)

        threads = [
            threading.Thread(target=ask, args=(service, number))
            for number in range(2)
            for service in services
        ]
        for thread in threads:
            thread.start()
        slowest = 0.0
        try:
            for turn in range(1, swaps + 1):
                wanted = versions[turn % 2]
                rollback(workshop.indexes, "shop", wanted, now=NOW)
                started = time.monotonic()
                for service in services:
                    wait(lambda s=service, w=wanted: serves(s, w), f"swap {turn}")
                slowest = max(slowest, time.monotonic() - started)
        finally:
            over.set()
            for thread in threads:
                thread.join()
    assert failures == []
    whole = {
        f"shop@{version}": {f"item-{n}": title for n, title in enumerate(each)}
        for version, each in zip(versions, shown, strict=True)
    }
    assert {answer["index"] for answer in answers} == set(whole)
    for answer in answers:
        items = whole[answer["index"]]
        for item in answer["items"]:
            assert item["fields"]["title"] == items[item["id"]]
    print(  # noqa: T201
        f"\n{swaps} swaps, {workers} workers, {len(answers):,} answers, 0 failed; all workers "
        f"agreed within {slowest:.1f} s"
    )


def serves(service: Any, version: str) -> bool:
    return bool(service.recommend(k=1).body["index"] == f"shop@{version}")
