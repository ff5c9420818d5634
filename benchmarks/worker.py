"""Processes that are measured, asked in turn by the one that measures."""

import json
import os
import subprocess
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]


@dataclass
class Engine:
    """A running engine, and the seconds a text that each call took."""

    name: str
    worker: "subprocess.Popen[str]"
    cpu_s: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    wall_s: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def ask(self, request: Mapping[str, object]) -> dict[str, object]:
        """Send a request and wait for its answer."""
        assert self.worker.stdin is not None
        assert self.worker.stdout is not None
        self.worker.stdin.write(json.dumps(request) + "\n")
        self.worker.stdin.flush()
        line = self.worker.stdout.readline()
        if not line:
            raise SystemExit(f"{self.name} ended with code {self.worker.wait()}")
        answer = json.loads(line)
        return answer if isinstance(answer, dict) else {"speeds": answer}

    def rate(self, case: str, *, wall: bool = False) -> float:
        """Texts a second: the median over all calls."""
        return float(1 / np.median((self.wall_s if wall else self.cpu_s)[case]))

    def p50_ms(self) -> float:
        """Median milliseconds of a call with one text."""
        return float(np.median(self.wall_s["1 text"]) * 1000)

    def close(self) -> None:
        """End the process."""
        assert self.worker.stdin is not None
        self.worker.stdin.close()
        self.worker.wait(timeout=30)


def start(name: str, command: Sequence[str], threads: int) -> Engine:
    """Start an engine in its own process, with every thread pool that reads the environment set."""
    pools = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    environment = os.environ | dict.fromkeys(pools, str(threads))
    environment |= {"TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}
    environment |= {"TRANSFORMERS_VERBOSITY": "error", "PYTHONPATH": str(ROOT)}
    worker = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    )
    return Engine(name, worker)
