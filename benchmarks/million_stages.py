"""Stages that are done once: their figures are kept, and a stopped run goes on behind them."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from benchmarks.worker import ROOT
from service.artifacts import write_atomic

Figures: TypeAlias = dict[str, float | str]

_LOOK_EVERY_S = 0.2
_SIZES = ("rss", "pss", "private")


@dataclass(frozen=True, slots=True)
class Stages:
    """The figures of the stages that are done, kept in a file."""

    path: Path

    def all(self) -> dict[str, Figures]:
        """Those of every stage so far."""
        found: dict[str, Figures] = {}
        if self.path.exists():
            found = json.loads(self.path.read_text(encoding="utf-8"))
        return found

    def run(self, name: str, stage: Callable[[], Figures]) -> None:
        """Run a stage unless it is done, and keep its figures."""
        if name in self.all():
            return
        print(f"{name} …", file=sys.stderr, flush=True)
        started = time.perf_counter()
        figures = stage()
        figures.setdefault("wall_s", time.perf_counter() - started)
        kept = self.all() | {name: figures}
        write_atomic(self.path, json.dumps(kept, indent=1).encode() + b"\n")
        print(f"{name}: {figures}", file=sys.stderr, flush=True)

    def forget(self, names: Sequence[str]) -> None:
        """Have these stages run again."""
        kept = {name: figures for name, figures in self.all().items() if name not in names}
        write_atomic(self.path, json.dumps(kept, indent=1).encode() + b"\n")


@dataclass(slots=True)
class Watch:
    """Looks at the memory of processes several times a second, and keeps the most it saw, in MB.

    `pss` is what all of them hold together, a page that several share counted once; `rss` and
    `private` are of the largest. `private` is memory that was written: mapped files are not in it.
    """

    pids: Sequence[int]
    peak: dict[str, float] = field(default_factory=lambda: dict.fromkeys(_SIZES, 0.0))
    _is_over: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> "Watch":
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        assert self._thread is not None
        self._thread.join()

    def _run(self) -> None:
        while not self._is_over.wait(_LOOK_EVERY_S):
            for name, size in together_mb(self.pids).items():
                self.peak[name] = max(self.peak[name], size)


def together_mb(pids: Sequence[int]) -> dict[str, float]:
    """Memory of some processes now, in MB of 10^6 bytes; see `Watch`. One that is gone has none."""
    found = [_memory_mb(pid) for pid in pids]
    return {
        "rss": max(each["rss"] for each in found),
        "pss": sum(each["pss"] for each in found),
        "private": max(each["private"] for each in found),
    }


def settings(work: Path) -> dict[str, str]:
    """The environment of whatever works in a folder with `indexes` and `models` in it."""
    folders = {"MAGPIE_INDEXES_DIR": work / "indexes", "MAGPIE_MODELS_DIR": work / "models"}
    return {name: str(folder) for name, folder in folders.items()}


def magpie(arguments: Sequence[str], work: Path) -> tuple[str, Figures]:
    """Run a command of Magpie; its output, and what it took: clock, processor, memory.

    Raises:
        SystemExit: it failed; what it said is on stderr already.
    """
    command = [sys.executable, "-m", "service", *arguments]
    started = time.perf_counter()
    process = subprocess.Popen(
        command, env=os.environ | settings(work), cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    with Watch([process.pid]) as watch:
        output = process.stdout.read()
        _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"magpie {' '.join(arguments)} ended with {process.returncode}: {output}")
    return output, {
        "wall_s": time.perf_counter() - started,
        "cpu_s": used.ru_utime + used.ru_stime,
        # What the kernel noted misses nothing, the file pages it counts in are none of ours.
        "peak_rss_mb": used.ru_maxrss * 1024 / 1e6,
        "peak_private_mb": watch.peak["private"],
    }


def size_mb(folder: Path) -> float:
    """What the files of a folder take, in MB of 10^6 bytes."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def _memory_mb(pid: int) -> Mapping[str, float]:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    except OSError:
        return dict.fromkeys(_SIZES, 0.0)
    sizes = {line.split(":")[0]: float(line.split()[1]) * 1024 / 1e6 for line in lines[1:]}
    return {"rss": sizes["Rss"], "pss": sizes["Pss"], "private": sizes["Private_Dirty"]}
