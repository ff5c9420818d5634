"""A version, opened as a service does it: `… million_opened VERSION MODELS TEXTS`.

TEXTS is a JSON file with texts that the version does not hold. Prints one line of JSON: seconds to
verify and load, recall of these texts against exact search, microseconds of a search, memory.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from benchmarks.http_servers import memory_mb
from benchmarks.index_measure import true_rows
from benchmarks.million_stages import Figures
from benchmarks.worker import ROOT
from service.encoders.exports import find_export
from service.encoders.onnx_encoder import OnnxEncoder
from service.index.admission import open_admitted

_K = 10


def opened(version: Path, models: Path, texts: Path) -> Figures:
    """Open a version in a process of its own."""
    command = [
        sys.executable,
        "-m",
        "benchmarks.million_opened",
        *map(str, (version, models, texts)),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    figures: Figures = json.loads(done.stdout)
    return figures


def main() -> None:
    """Open, ask, compare, report."""
    version, models = Path(sys.argv[1]), Path(sys.argv[2])
    texts = json.loads(Path(sys.argv[3]).read_text(encoding="utf-8"))
    started = time.perf_counter()
    snapshot = open_admitted(version)
    load_s = time.perf_counter() - started
    encoder = OnnxEncoder.open(find_export(models, snapshot.manifest.model))
    queries = encoder.encode_queries(texts)
    found, spent = [], []
    for query in queries:
        started = time.perf_counter()
        rows, _ = snapshot.retriever.search(query[np.newaxis], _K)
        spent.append(time.perf_counter() - started)
        found.append(rows[0])
    memory = memory_mb(os.getpid())
    truth = true_rows(snapshot.vectors, queries, _K)
    shared = [len(np.intersect1d(one, other)) for one, other in zip(found, truth, strict=True)]
    figures = {
        "load_and_verify_s": load_s,
        "asked": len(texts),
        "recall_at_10": float(np.mean(shared)) / _K,
        "search_p50_us": float(np.quantile(spent, 0.5)) * 1e6,
        "search_p99_us": float(np.quantile(spent, 0.99)) * 1e6,
        "rss_mb": memory["rss"],
        "private_mb": memory["private"],
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
