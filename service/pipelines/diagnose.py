"""A look at everything a service needs, from Python to the port, without changing any of it."""

import asyncio
import os
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from service.cache.redis import RedisCache
from service.cache.room import Room
from service.encoders.exports import ExportManifest, find_export
from service.encoders.registry import Registry
from service.errors import MagpieError
from service.index.native.library import open_library
from service.index.publish import current_version, verify
from service.settings import Settings

_OLDEST_PYTHON = (3, 11, 3)
_USEFUL_FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8", "asimd", "asimddp")
_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at. `advice` says what to do, and is empty where nothing is to be done."""

    subject: str
    verdict: Literal["fine", "note", "wrong"]
    fact: str
    advice: str = ""


def diagnose(settings: Settings, cpuinfo: Path = Path("/proc/cpuinfo")) -> list[Finding]:
    """Look at everything in the order in which it is needed; never raises a MagpieError.

    Args:
        settings: what would be served.
        cpuinfo: where Linux describes its processors.
    """
    return [
        _python(),
        _processor(cpuinfo),
        _search(),
        _threads(settings),
        _registry(settings),
        *_index_and_model(settings),
        _redis(settings),
        _port(settings),
    ]


def _python() -> Finding:
    found = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info < _OLDEST_PYTHON:
        return Finding(
            "Python", "wrong", found, "Use 3.11.3 or newer: older ones break cancellation."
        )
    return Finding("Python", "fine", found)


def _processor(cpuinfo: Path) -> Finding:
    try:
        words = set(cpuinfo.read_text(encoding="utf-8", errors="replace").split())
    except OSError:
        return Finding("Processor", "note", "its features can only be read on Linux")
    useful = [flag for flag in _USEFUL_FLAGS if flag in words]
    if not useful:
        advice = "Search and encoding will be slow; prefer a machine with AVX2 or better."
        return Finding("Processor", "note", "no vector extensions found", advice)
    return Finding("Processor", "fine", ", ".join(useful))


def _search() -> Finding:
    if open_library() is not None:
        return Finding("Search", "fine", "compiled")
    advice = "Install Magpie again where there is a C compiler: searches take a third of the time."
    return Finding("Search", "note", "by FAISS alone", advice)


def _threads(settings: Settings) -> Finding:
    wanted, cores = settings.encoder_threads * settings.compute_threads, os.cpu_count() or 1
    fact = f"{wanted} for encoding, {cores} cores"
    if wanted > cores:
        advice = "Lower MAGPIE_ENCODER_THREADS or MAGPIE_COMPUTE_THREADS: more threads are slower."
        return Finding("Threads", "wrong", fact, advice)
    return Finding("Threads", "fine", fact)


def _registry(settings: Settings) -> Finding:
    try:
        registry = Registry.load(settings.models_dir / "registry.toml")
    except MagpieError as error:
        return Finding("Registry", "wrong", error.message, error.hint)
    return Finding(
        "Registry", "fine", f"{len(registry.records)} models, default {registry.default}"
    )


def _index_and_model(settings: Settings) -> Iterator[Finding]:
    try:
        version = current_version(settings.indexes_dir, settings.catalogue)
        manifest = verify(settings.indexes_dir, settings.catalogue, version)
    except MagpieError as error:
        yield Finding("Index", "wrong", error.message, error.hint)
        return
    fact = (
        f"{settings.catalogue}@{version}, {manifest.items} items, {manifest.factory}, "
        f"recall@10 {manifest.recall_at_10:.3f}, every file verified"
    )
    yield Finding("Index", "fine", fact)
    try:
        export = find_export(settings.models_dir, manifest.model)
        ExportManifest.read(export).verify(export)
    except MagpieError as error:
        yield Finding("Model", "wrong", error.message, error.hint)
        return
    if manifest.stand_in:
        advice = "Where a hub answers: magpie model pull, export, then build the index again."
        yield Finding("Model", "note", f"{manifest.model}, a stand-in, not a Chinese model", advice)
    else:
        yield Finding("Model", "fine", f"{manifest.model}, every file verified")


def _redis(settings: Settings) -> Finding:
    if settings.redis_url is None:
        return Finding("Redis", "note", "not set up; each process caches for itself")
    try:
        failure, room = asyncio.run(_look_at_redis(settings))
    except MagpieError as error:
        return Finding("Redis", "wrong", error.message, error.hint)
    if failure is not None:
        advice = "Answers are still served, without a shared cache. Check MAGPIE_REDIS_URL."
        return Finding("Redis", "wrong", f"does not answer ({failure})", advice)
    if room is not None and room.concern is not None:
        return Finding("Redis", "note", "answers, and is not bounded well", room.concern)
    return Finding("Redis", "fine", "answers")


async def _look_at_redis(settings: Settings) -> tuple[str | None, Room | None]:
    assert settings.redis_url is not None
    cache = RedisCache.open(settings.redis_url.get_secret_value())
    try:
        failure = await cache.ping()
        await cache.look_at_room()
        return failure, cache.room
    finally:
        await cache.aclose()


def _port(settings: Settings) -> Finding:
    where = f"{settings.host}:{settings.port}"
    with socket.socket(socket.AF_INET6 if ":" in settings.host else socket.AF_INET) as probe:
        probe.settimeout(_SECONDS)
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            advice = "A service may be running already; or choose another with MAGPIE_PORT."
            return Finding("Port", "note", f"{where} cannot be bound: {error.strerror}", advice)
    return Finding("Port", "fine", f"{where} is free")
