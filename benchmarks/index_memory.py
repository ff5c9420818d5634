"""What an opened index costs in memory: `python -m benchmarks.index_memory FOLDER N DIM LEAN`.

Opens the index of a folder as the service does, searches, prints one line of JSON with resident
and proportional megabytes, and waits for the end of stdin so that a second one can share it.
"""

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from benchmarks.index_ours import open_ours
from benchmarks.index_vectors import DIM
from benchmarks.worker import ROOT
from service.artifacts import sha256_file
from service.index.vectors import open_vectors

_SEARCHES = 5_000


def memory_mb() -> dict[str, float]:
    """Resident and proportional memory of this process, in MB of 10^6 bytes."""
    lines = Path("/proc/self/smaps_rollup").read_text(encoding="utf-8").splitlines()
    sizes = {
        line.split(":")[0]: float(line.split()[1]) * 1024 / 1e6 for line in lines if "kB" in line
    }
    return {"rss": sizes["Rss"], "pss": sizes["Pss"], "private": sizes["Private_Dirty"]}


def memory_of(home: Path, count: int) -> dict[str, float]:
    """Resident MB of a process that serves this index, and what a second one adds."""
    command = [sys.executable, "-m", "benchmarks.index_memory", str(home), str(count), str(DIM)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "cwd": ROOT}
    processes = []
    answers = []
    for _ in range(2):
        process = subprocess.Popen(command, **pipes)  # type: ignore[call-overload]
        answers.append(json.loads(process.stdout.readline()))
        processes.append(process)
    for process in processes:
        process.communicate()
    bare = answers[1]["before"]["pss"]
    return {
        "rss_mb": answers[0]["after"]["rss"],
        "load_s": answers[0]["load_s"],
        # What the second process alone brings, beyond an interpreter with the same libraries.
        "second_private_mb": answers[1]["after"]["private"] - answers[1]["before"]["private"],
        "interpreter_mb": bare,
    }


def main() -> None:
    """Open, search, report, wait."""
    folder, count, dim = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    before = memory_mb()
    started = time.perf_counter()
    for path in sorted(folder.glob("index.*")):
        sha256_file(path)
    sha256_file(folder.parent / "vectors.npy")
    vectors = open_vectors(folder.parent / "vectors.npy", count, dim)
    index = open_ours(folder, vectors)
    load_s = time.perf_counter() - started
    queries = np.load(folder.parent / "queries.npy", mmap_mode="r", allow_pickle=False)
    for number in range(_SEARCHES):
        index.search(queries[number % len(queries)][np.newaxis], 10)
    print(json.dumps({"before": before, "after": memory_mb(), "load_s": load_s}), flush=True)
    sys.stdin.read()
    print(json.dumps({"after": memory_mb()}), flush=True)


if __name__ == "__main__":
    main()
