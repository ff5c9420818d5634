"""What compose.yaml grants, and what it does not."""

import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import redis

from service.cache.pipeline import RedisLimits
from service.cache.redis import RedisCache

if TYPE_CHECKING:
    from tests.unit.deploy.conftest import Compose

PATIENT = RedisLimits(budget_s=5, connect_timeout_s=5)


@pytest.mark.parametrize("name", ["magpie", "redis"])
def test_service_has_a_read_only_root_and_no_privilege(compose: "Compose", name: str) -> None:
    service = compose.services[name]
    assert service["read_only"] == ["True"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not {"privileged", "cap_add", "devices", "volumes", "network_mode"} & service.keys()


@pytest.mark.parametrize("name", ["magpie", "redis"])
def test_service_is_bounded_in_memory_and_processes(compose: "Compose", name: str) -> None:
    service = compose.services[name]
    assert re.fullmatch(r"\d+m", service["mem_limit"][0])
    assert int(service["pids_limit"][0]) > 0


@pytest.mark.parametrize("name", ["magpie", "redis"])
def test_image_has_a_tag_that_does_not_move_by_itself(compose: "Compose", name: str) -> None:
    tag = compose.services[name]["image"][0].partition(":")[2]
    assert tag not in {"", "latest"}


def test_ports_are_published_to_this_machine_only(compose: "Compose") -> None:
    ports = [port for service in compose.services.values() for port in service.get("ports", [])]
    assert ports == ["127.0.0.1:8000:8000"]


def test_nobody_is_asked_for_a_key_only_while_nobody_else_can_ask(compose: "Compose") -> None:
    service = compose.services["magpie"]
    if "insecure" in service["environment"][0].lower():
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])


def test_redis_is_on_networks_without_a_way_out(compose: "Compose") -> None:
    assert set(compose.services["redis"]["networks"]) <= compose.internal_networks


def test_only_the_service_shares_a_network_with_redis(compose: "Compose") -> None:
    private = set(compose.services["redis"]["networks"])
    neighbours = {
        name for name, each in compose.services.items() if private & set(each["networks"])
    }
    assert neighbours == {"magpie", "redis"}


def test_redis_is_newer_than_its_known_holes(compose: "Compose") -> None:
    version = compose.services["redis"]["image"][0].partition(":")[2].partition("-")[0]
    # CVE-2026-23479: 7.2.0 to 8.6.2.
    assert tuple(map(int, version.split("."))) >= (8, 6, 3)


def test_redis_memory_bound_leaves_room_below_the_containers(compose: "Compose") -> None:
    command = compose.services["redis"]["command"]
    bound = int(command[command.index("--maxmemory") + 1].removesuffix("mb"))
    limit = int(compose.services["redis"]["mem_limit"][0].removesuffix("m"))
    assert bound * 1.5 <= limit


@pytest.fixture
def redis_as_composed(compose: "Compose", tmp_path: Path) -> Iterator[int]:
    """A redis-server with the compose file's own options; gives its port."""
    binary = shutil.which("redis-server")
    if binary is None:
        pytest.skip("redis-server is not installed; apt-get install redis-server")
    program, *options = compose.services["redis"]["command"]
    assert program == "redis-server"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    process = subprocess.Popen(
        [binary, "--bind", "127.0.0.1", "--port", str(port), "--dir", str(tmp_path), *options],
        stdout=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 10
        while not _answers(port):
            assert time.monotonic() < deadline, "redis-server did not answer in 10 s"
            assert process.poll() is None, "redis-server ended at once"
            time.sleep(0.01)
        yield port
    finally:
        process.kill()
        process.wait()


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.redis
async def test_redis_allows_every_command_that_the_service_sends(redis_as_composed: int) -> None:
    cache = RedisCache.open(f"redis://127.0.0.1:{redis_as_composed}/0", limits=PATIENT)
    try:
        assert await cache.ping() is None
        assert await cache.look_at_room() is None
        assert cache.room is not None
        assert cache.room.concern is None
        assert await cache.put(b"key", b"value", ttl_s=60) is None
        assert (await cache.get(b"key")).value == b"value"
        assert await cache.count(b"counter", 3, 60) == 3
    finally:
        await cache.aclose()


@pytest.mark.redis
async def test_redis_lets_the_service_remove_a_spoilt_value(redis_as_composed: int) -> None:
    with redis.Redis(port=redis_as_composed) as client:
        client.set(b"key", b"not one of our frames")
        cache = RedisCache.open(f"redis://127.0.0.1:{redis_as_composed}/0", limits=PATIENT)
        try:
            assert (await cache.get(b"key")).failure is not None
        finally:
            await cache.aclose()
        assert client.getrange("key", 0, -1) == b""


@pytest.mark.redis
@pytest.mark.parametrize(
    "command",
    ["KEYS *", "EVAL return(1) 0", "CONFIG GET save", "FLUSHALL", "SCRIPT FLUSH", "RESTORE k 0 v"],
)
def test_redis_refuses_everything_else(redis_as_composed: int, command: str) -> None:
    with (
        redis.Redis(port=redis_as_composed) as client,
        pytest.raises(redis.exceptions.NoPermissionError),
    ):
        client.execute_command(*command.split())
