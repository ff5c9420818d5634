"""The engines of the encoder benchmark, each loaded alone in a process of its own.

Runs in two environments, so it imports what it measures only where it is asked for:
`python -m benchmarks.encoder_engines ENGINE FOLDER THREADS` answers lines of JSON on stdin with
lines of JSON on stdout until stdin ends.
"""

import json
import os
import resource
import sys
import time
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Encode = Callable[[Sequence[str]], NDArray[np.float32]]
QUANTIZED = "onnx/model_qint8_avx512_vnni.onnx"
_PACKAGES = (
    "torch", "transformers", "sentence-transformers", "optimum-onnx", "fastembed", "onnxruntime",
    "tokenizers", "numpy",
)  # fmt: skip


def open_sentence_transformers(folder: Path, threads: int, file: str) -> Encode:
    """Load sentence-transformers with torch, or with one of its ONNX files."""
    import torch
    from sentence_transformers import SentenceTransformer

    torch.set_num_threads(threads)
    if not file:
        model = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
    else:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        model = SentenceTransformer(
            str(folder),
            device="cpu",
            backend="onnx",
            local_files_only=True,
            model_kwargs={
                "file_name": file,
                "provider": "CPUExecutionProvider",
                "session_options": options,
            },
        )

    def encode(texts: Sequence[str]) -> NDArray[np.float32]:
        vectors = model.encode(list(texts), normalize_embeddings=True, show_progress_bar=False)
        return np.asarray(vectors, dtype=np.float32)

    return encode


def open_fastembed(folder: Path, threads: int, file: str) -> Encode:
    """Load fastembed with the same files as a custom model."""
    from fastembed import TextEmbedding
    from fastembed.common.model_description import ModelSource, PoolingType

    name = "benchmark/" + Path(file).stem
    TextEmbedding.add_custom_model(
        model=name,
        pooling=PoolingType.MEAN,
        normalization=True,
        sources=ModelSource(hf=name),
        dim=int(json.loads((folder / "config.json").read_text())["hidden_size"]),
        model_file=file,
    )
    model = TextEmbedding(name, threads=threads, specific_model_path=str(folder))
    return lambda texts: np.asarray(list(model.embed(list(texts))), dtype=np.float32)


def open_magpie(folder: Path, threads: int, _: str) -> Encode:
    """Load our serving encoder."""
    from service.encoders.onnx_encoder import OnnxEncoder

    return OnnxEncoder.open(folder, threads=threads).encode_items


ENGINES: dict[str, tuple[Callable[[Path, int, str], Encode], str]] = {
    "sentence-transformers torch": (open_sentence_transformers, ""),
    "sentence-transformers ONNX fp32": (open_sentence_transformers, "onnx/model.onnx"),
    "sentence-transformers ONNX int8": (open_sentence_transformers, QUANTIZED),
    "fastembed fp32": (open_fastembed, "onnx/model.onnx"),
    "fastembed int8": (open_fastembed, QUANTIZED),
    "magpie fp32": (open_magpie, ""),
    "magpie int8": (open_magpie, ""),
}


def prepare(upstream: Path, folder: Path) -> None:
    """Make sentence-transformers' own ONNX files, as its documentation says, beside the weights."""
    import shutil

    from sentence_transformers import SentenceTransformer, export_dynamic_quantized_onnx_model

    shutil.copytree(upstream, folder, dirs_exist_ok=True)
    model = SentenceTransformer(
        str(folder), device="cpu", backend="onnx", local_files_only=True,
        model_kwargs={"provider": "CPUExecutionProvider", "export": True},
    )  # fmt: skip
    model.save_pretrained(str(folder))
    export_dynamic_quantized_onnx_model(model, "avx512_vnni", str(folder))


def _timed(encode: Encode, calls: Sequence[Sequence[str]]) -> dict[str, list[float]]:
    walls, cpus = [], []
    for texts in calls:
        wall, cpu = time.perf_counter(), time.process_time()
        encode(texts)
        cpus.append(time.process_time() - cpu)
        walls.append(time.perf_counter() - wall)
    return {"wall_s": walls, "cpu_s": cpus}


def _resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def _versions() -> dict[str, str]:
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def serve(engine: str, folder: Path, threads: int) -> None:
    """Answer requests: `calls` to time, `save` to write vectors, or nothing, for memory."""
    opened, file = ENGINES[engine]
    # Libraries print to stdout; the answers need it for themselves.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    encode = opened(folder, threads, file)
    for line in sys.stdin:
        request = json.loads(line)
        answer: dict[str, object] = {}
        if "save" in request:
            np.save(request["save"], encode(request["texts"]))
        elif "calls" in request:
            answer = dict(_timed(encode, request["calls"]))
        else:
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            loaded = {"resident_mb": _resident_mb(), "peak_mb": peak}
            answer = {**loaded, "versions": _versions()}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    if sys.argv[1] == "prepare":
        prepare(Path(sys.argv[2]), Path(sys.argv[3]))
    else:
        serve(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
