"""Writes changes until it is killed, by itself at a chosen system call or by somebody else.

Run as: python writer.py CATALOGUE CALL, where CALL is the number of the call to die at, 0 for none.
Prints the number of every request it has acknowledged.
"""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from service.index.change_log import ChangeLog
from service.index.changes import Embedding, Put
from service.types import ItemId

ITEMS_A_REQUEST = 3
COMPACTED_EVERY = 3


def die_at(call: int) -> None:
    """Count the calls that move bytes or names, and die at one of them, a write half done."""
    made = 0

    def counted(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def step(*arguments: Any, **options: Any) -> Any:
            nonlocal made
            made += 1
            if made == call:
                if name == "pwrite":
                    descriptor, content, offset = arguments
                    real(descriptor, content[: len(content) // 2], offset)
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*arguments, **options)

        return step

    for name in ("pwrite", "fsync", "replace", "unlink", "ftruncate", "truncate"):
        setattr(os, name, counted(name, getattr(os, name)))


def requests(catalogue: Path) -> None:
    log = ChangeLog(catalogue)
    while True:
        with log.writing():
            number = log.sequence + 1
            log.append([change(number, part) for part in range(ITEMS_A_REQUEST)])
            sys.stdout.write(f"{number}\n")
            sys.stdout.flush()
            if number % COMPACTED_EVERY == 0:
                log.compact()


def change(number: int, part: int) -> Put:
    vector = np.full(16, number, np.float32)
    # Ids come back, so that compaction has something to drop.
    name = f"{number % 20}-{part}"
    return Put(0, ItemId(name), {"number": number}, Embedding(name, vector, "m", "t"))


if __name__ == "__main__":
    die_at(int(sys.argv[2]))
    requests(Path(sys.argv[1]))
