"""The encoder by itself, one text at a time: `python -m benchmarks.http_encoder`."""

import json
import subprocess
import sys
import time

import numpy as np

from benchmarks.http_cases import search_texts
from benchmarks.http_catalogue import STAND_IN
from benchmarks.worker import ROOT
from service.encoders.exports import find_export
from service.encoders.onnx_encoder import OnnxEncoder

_TEXTS, _WARM = 600, 100


def encoder_alone(core: str) -> dict[str, float]:
    """Milliseconds of a call at p50 and of processor time, from a process of its own."""
    command = ["taskset", "-c", core, sys.executable, "-m", "benchmarks.http_encoder"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def main() -> None:
    """Encode the texts of the benchmark one by one; print one line of JSON."""
    encoder = OnnxEncoder.open(find_export(ROOT / "models", STAND_IN), threads=1)
    texts = search_texts(_TEXTS)
    encoder.encode_queries(texts[:_WARM])
    spent, begun = [], time.process_time()
    for text in texts[_WARM:]:
        started = time.perf_counter()
        encoder.encode_queries([text])
        spent.append(time.perf_counter() - started)
    cpu_s = (time.process_time() - begun) / len(spent)
    print(json.dumps({"p50_ms": float(np.median(spent) * 1e3), "cpu_ms": cpu_s * 1e3}))


if __name__ == "__main__":
    main()
