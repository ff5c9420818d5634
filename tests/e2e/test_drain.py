"""Leaving: no request is lost, whoever ends the process, if the balancer looks at `/readyz`."""

import os
import signal
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any

from service.index.publish import publish
from tests.e2e.balancer import Balancer

NOW = datetime(2026, 11, 2, tzinfo=UTC)
TITLES = ["rye bread", "sourdough bread", "white bread rolls", "flower pot", "garden flower bed"]
ROLLOUTS = 10 if os.environ.get("FAULTS") == "all" else 1

Workshop = Any


def shop(workshop: Workshop) -> None:
    publish(workshop.indexes, "shop", workshop.build("shop", TITLES, 1), now=NOW)


def test_rolling_restarts_of_two_replicas_lose_no_request(
    workshop: Workshop, wait: Callable[..., None]
) -> None:
    shop(workshop)
    with ExitStack() as running:
        replicas = [
            running.enter_context(workshop.serving("shop", MAGPIE_DRAIN_S="1")) for _ in range(2)
        ]
        urls = [replica.url for replica in replicas]
        with Balancer(urls, "/items/item-1/similar?k=2") as balancer:
            for round_ in range(ROLLOUTS):
                for place, replica in enumerate(replicas):
                    wait(lambda: balancer.answered > 50, "some traffic")
                    assert replica.stop() == 0
                    port = int(replica.url.rpartition(":")[2])
                    replicas[place] = running.enter_context(
                        workshop.serving("shop", port=port, MAGPIE_DRAIN_S="1")
                    )
                    assert balancer.failures == [], round_
        assert balancer.failures == []


def test_a_draining_service_is_unready_at_once_and_serves_on(
    workshop: Workshop, wait: Callable[..., None]
) -> None:
    shop(workshop)
    with workshop.serving("shop", MAGPIE_DRAIN_S="1.5") as service:
        began = time.monotonic()
        service.process.send_signal(signal.SIGTERM)
        wait(lambda: not service.is_ready(), "the service to say that it leaves")
        unready = service.get("/readyz")
        assert (unready.status, unready.body["code"]) == (503, "not_ready")
        assert "draining" in unready.body["detail"]
        assert service.get("/livez").status == 200
        assert service.recommend(like=["item-1"], k=1).status == 200
        assert service.process.wait(timeout=20) == 0
        assert time.monotonic() - began >= 1.5


def test_an_interrupt_or_a_second_signal_ends_it_without_the_wait(workshop: Workshop) -> None:
    shop(workshop)
    with workshop.serving("shop", MAGPIE_DRAIN_S="600") as service:
        service.process.send_signal(signal.SIGINT)
        assert service.process.wait(timeout=20) == 0
    with workshop.serving("shop", MAGPIE_DRAIN_S="600") as service:
        service.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        assert service.is_ready() is False
        assert service.process.poll() is None
        service.process.send_signal(signal.SIGTERM)
        assert service.process.wait(timeout=20) == 0
