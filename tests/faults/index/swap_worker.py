"""Serves one catalogue as a worker does, without HTTP: follows the pointer, searches, checks.

Prints a line when it is ready; when stdin is closed, what it saw, as JSON.
"""

import json
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from service.encoders.encoder import Encoder
from service.index.live import Live
from service.types import ModelIdentity, Vectors


@dataclass(frozen=True)
class ConstantEncoder:
    """Of whatever model is asked for; nothing here encodes a text."""

    identity: ModelIdentity
    dim: int
    max_tokens: int = 16

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        return np.full((len(texts), self.dim), self.dim**-0.5, dtype=np.float32)

    encode_items = encode_queries


def main(indexes: Path, dim: int, readers: int) -> None:
    print(json.dumps({"phase": "imported"}), flush=True)  # noqa: T201
    sys.stdin.readline()

    def encoder(identity: ModelIdentity) -> Encoder:
        return ConstantEncoder(identity, dim)

    live = Live(indexes, "pins", encoder)
    answers, mixed, versions, done = [0], [0], set(), threading.Event()

    def read(seed: int) -> None:
        chance = np.random.default_rng(seed)
        while not done.is_set():
            snapshot = live.current.snapshot
            row = int(chance.integers(len(snapshot.table)))
            rows, _ = snapshot.retriever.search(snapshot.vectors[row : row + 1], 10)
            ids = [snapshot.table.id(int(each)) for each in rows[0]]
            # Ids of a version begin with the number of its items: no id fits two versions.
            whole = all(each.startswith(f"{snapshot.manifest.items}-") for each in ids)
            mixed[0] += not whole or len(ids) != 10
            answers[0] += 1
            versions.add(snapshot.version)

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(readers)]
    for thread in threads:
        thread.start()
    print(json.dumps({"phase": "ready"}), flush=True)  # noqa: T201
    swaps = 0

    def follow() -> None:
        nonlocal swaps
        while not done.is_set():
            if live.refresh():
                swaps += 1
                print(json.dumps({"phase": live.current.snapshot.version}), flush=True)  # noqa: T201
            time.sleep(0.02)

    follower = threading.Thread(target=follow)
    follower.start()
    sys.stdin.read()
    done.set()
    for thread in (*threads, follower):
        thread.join()
    seen = {
        "answers": answers[0],
        "mixed": mixed[0],
        "versions": len(versions),
        "swaps": swaps,
        "refused": live.last_error,
    }
    print(json.dumps(seen), flush=True)  # noqa: T201


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
