"""onnxruntime reports to its maker unless told not to before its import; Magpie tells it."""

import os
import subprocess
import sys
from pathlib import Path

from service.encoders.exports import GRAPH, find_export

# Without the first import a device id and a queue of events appear below the home folder (seen
# with 1.32). That control is not part of the suite: on a connected machine it would be sent.
START = "import service, onnxruntime, sys; onnxruntime.InferenceSession(sys.argv[1])"


def test_loading_a_model_leaves_no_device_id_behind(toy_models: Path, tmp_path: Path) -> None:
    graph = find_export(toy_models, "toy") / GRAPH
    environment = {k: v for k, v in os.environ.items() if k != "ORT_DISABLE_TELEMETRY"}
    environment |= {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    subprocess.run(
        [sys.executable, "-c", START, str(graph)], env=environment, check=True, timeout=60
    )
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
