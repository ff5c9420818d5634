"""How fast the encoder is beside what a user would otherwise pick: `make bench-encoder`.

One process an engine, asked in turn by this one, so that whatever else the machine does falls on
all alike. Figures of one thread are texts a second of processor time, which another process
cannot take away; medians of the rounds.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from tokenizers import Tokenizer

from benchmarks.encoder_engines import ENGINES
from benchmarks.encoder_texts import long_texts, pin_texts, short_texts
from benchmarks.int8_peak import SIZES
from benchmarks.report import Goal, machine, table, write_json
from benchmarks.worker import ROOT, Engine, start
from service.encoders.exports import GRAPH, TOKENIZER, ExportManifest, exports_folder
from service.pipelines.agreement import cosines, shared_neighbours
from service.pipelines.bert_weights import LINEARS, read_bert
from service.pipelines.model_overview import Speed

ENGINE_MODULE = "benchmarks.encoder_engines"
MODEL = "all-minilm-l6-v2"
TORCH, ST_FP32, ST_INT8, FAST_FP32, FAST_INT8, OUR_FP32, OUR_INT8 = ENGINES
# Calls of a round: how often, and with how many texts.
CASES: Mapping[str, tuple[int, int]] = {
    "1 text": (12, 1),
    "32 texts": (2, 32),
    "256 texts": (1, 256),
    "32 of 128 tokens": (1, 32),
}
_LONG = "32 of 128 tokens"


def start_all(rivals_python: Path, folders: Mapping[str, Path], threads: int) -> list[Engine]:
    """Start every engine; ours and torch's newest run in our own environment."""
    engines = []
    for name in ENGINES:
        ours = name in (TORCH, OUR_FP32, OUR_INT8)
        python = sys.executable if ours else str(rivals_python)
        command = [python, "-m", ENGINE_MODULE, name, str(folders[name]), str(threads)]
        engines.append(start(name, command, threads))
    return engines


def warm_up(engines: Sequence[Engine], short: Sequence[str], long: Sequence[str]) -> None:
    """Let every engine see every kind of call once."""
    for engine in engines:
        engine.ask({"calls": [short[:64], *([text] for text in short[:4]), long[:8]]})


def measure(
    engines: Sequence[Engine], short: Sequence[str], long: Sequence[str], number: int
) -> None:
    """Ask every engine for every case in turn: round `number`, with texts of its own."""
    for case, (calls, size) in CASES.items():
        texts = long if case == _LONG else short
        first = number * 61
        asked = [
            [texts[(first + call * size + i) % len(texts)] for i in range(size)]
            for call in range(calls)
        ]
        for engine in engines:
            answer = engine.ask({"calls": asked})
            for name, kept in (("cpu_s", engine.cpu_s), ("wall_s", engine.wall_s)):
                seconds = answer[name]
                assert isinstance(seconds, list)
                kept[case] += [float(each) / size for each in seconds]
    print(f"round {number + 1}", file=sys.stderr)


def fidelity(
    engines: Sequence[Engine], texts: Sequence[str]
) -> dict[str, tuple[float, float, float]]:
    """Compare each engine with torch: mean and smallest cosine, overlap@10."""
    vectors = {}
    with TemporaryDirectory() as folder:
        for engine in engines:
            path = Path(folder) / "vectors.npy"
            engine.ask({"save": str(path), "texts": list(texts)})
            vectors[engine.name] = np.load(path, allow_pickle=False)
    reference = vectors[TORCH]
    found = {}
    for name, ours in vectors.items():
        cosine = cosines(ours, reference)
        overlap = float(shared_neighbours(ours, reference).mean())
        found[name] = (float(cosine.mean()), float(cosine.min()), overlap)
    return found


def operations_per_token(export: Path, upstream: Path) -> int:
    """Multiplications and additions of the linear layers for one token; attention comes on top."""
    weights = read_bert(export / GRAPH, upstream / "config.json", "mean")
    if weights is None:
        raise SystemExit("The peak is only known for a BERT.")
    return 2 * sum(layer[name].weight.size for layer in weights.layers for name in LINEARS)


def find_exports(models: Path) -> tuple[Path, Path]:
    """The newest float32 export of the stand-in, and the newest int8 one made from it."""
    found = [path.parent for path in exports_folder(models, MODEL).glob("*/export.json")]
    manifests = sorted(((ExportManifest.read(f), f) for f in found), key=lambda m: m[0].created_at)
    exact = [f for manifest, f in manifests if manifest.precision == "float32"]
    if not exact:
        raise SystemExit(f"Run: magpie model pull {MODEL} && magpie model export {MODEL}")
    digest = ExportManifest.read(exact[-1]).identity.digest
    small = [f for manifest, f in manifests if manifest.derived_from == digest]
    if not small:
        raise SystemExit(f"Run: magpie model quantize {MODEL}")
    return exact[-1], small[-1]


def goals(
    by_name: Mapping[str, Engine],
    memory: Mapping[str, Mapping[str, float]],
    faithful: Mapping[str, tuple[float, float, float]],
    share_of_peak: float,
    two_threads: float,
) -> list[Goal]:
    """The goals of the encoder, in the order of their list."""
    rate = {name: engine.rate("256 texts") for name, engine in by_name.items()}
    alone = {name: engine.rate("1 text") for name, engine in by_name.items()}
    resident = {name: each["resident_mb"] for name, each in memory.items()}
    mean, _, overlap = faithful[OUR_INT8]
    return [
        Goal("int8 against sentence-transformers torch", rate[OUR_INT8] / rate[TORCH], 4.5),
        Goal("int8 against sentence-transformers ONNX int8", rate[OUR_INT8] / rate[ST_INT8], 1.4),
        Goal("int8 against fastembed int8", rate[OUR_INT8] / rate[FAST_INT8], 2.5),
        Goal("int8 share of the core's int8 peak", share_of_peak, 0.7),
        Goal("fp32 against sentence-transformers torch", rate[OUR_FP32] / rate[TORCH], 1.3),
        Goal("fp32 against sentence-transformers ONNX fp32", rate[OUR_FP32] / rate[ST_FP32], 1.2),
        Goal("latency of one text, torch / int8", alone[OUR_INT8] / alone[TORCH], 4.5),
        Goal("resident memory, int8 / torch", resident[OUR_INT8] / resident[TORCH], 0.5, "at most"),
        Goal("two threads against one, int8", two_threads, 1.8),
        Goal("int8 mean cosine to torch", mean, 0.99),
        Goal("int8 overlap@10 with torch", overlap, 0.95),
    ]


def parse() -> argparse.Namespace:
    """Read the command line."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rivals-python", type=Path, default=ROOT / ".venv-bench/bin/python")
    options.add_argument("--rivals-models", type=Path, default=ROOT / "build/bench-rivals")
    options.add_argument("--models", type=Path, default=ROOT / "models")
    options.add_argument("--rounds", type=int, default=7)
    options.add_argument("--out", type=Path, default=ROOT / "docs/benchmarks/encoder.json")
    return options.parse_args()


def texts_of(tokenizer: Path) -> tuple[list[str], list[str], list[str], float]:
    """Whole, short and long texts, and the mean tokens of the short ones."""
    counter = Tokenizer.from_file(str(tokenizer))
    counter.no_padding()
    counter.no_truncation()

    def count(text: str) -> int:
        return len(counter.encode(text).ids)

    whole = pin_texts(ROOT / "examples/pins/pins.jsonl")
    short = short_texts(whole, count)
    return whole, short, long_texts(whole, count), float(np.mean([*map(count, short)]))


def two_threads(small: Path, short: Sequence[str], rounds: int) -> tuple[float, float]:
    """Texts a second of our int8 on one thread and on two, by the clock.

    The best call of each counts: on two cores any other process takes from two threads first.
    """
    command = [sys.executable, "-m", ENGINE_MODULE, OUR_INT8, str(small)]
    engines = [start(f"{n} threads", [*command, str(n)], n) for n in (1, 2)]
    try:
        for engine in engines * (2 * rounds):
            answer = engine.ask({"calls": [short[:256]]})
            walls = answer["wall_s"]
            assert isinstance(walls, list)
            engine.wall_s["256 texts"] += [wall / 256 for wall in walls]
    finally:
        for engine in engines:
            engine.close()
    one, two = (1 / min(engine.wall_s["256 texts"]) for engine in engines)
    return one, two


def number_of(facts: Mapping[str, object], name: str) -> float:
    """A number out of an answer."""
    value = facts[name]
    assert isinstance(value, float | int)
    return float(value)


def speed_of(
    by_name: Mapping[str, Engine], exact: Path, small: Path, tokens: float, now: str
) -> Speed:
    """What `magpie model list` shows: calls of 256 short texts."""
    ours = {"float32": (OUR_FP32, exact), "int8": (OUR_INT8, small)}
    rates = {name: round(by_name[each].rate("256 texts"), 1) for name, (each, _) in ours.items()}
    return Speed(
        texts_per_s=rates,
        machine=f"one core of {machine()['processor']}",
        tokens_of_a_text=round(tokens, 1),
        exports={name: folder.name for name, (_, folder) in ours.items()},
        measured_at=now,
    )


def main() -> None:
    """Measure, print the table, write the JSON file, end with a line for each goal."""
    given = parse()
    upstream = given.models / MODEL / "upstream"
    if not (given.rivals_models / "onnx").is_dir():
        command = [
            given.rivals_python,
            "-m",
            ENGINE_MODULE,
            "prepare",
            upstream,
            given.rivals_models,
        ]
        subprocess.run(command, check=True, env=os.environ | {"PYTHONPATH": str(ROOT)})
    exact, small = find_exports(given.models)
    folders = dict.fromkeys(ENGINES, given.rivals_models)
    folders |= {TORCH: upstream, OUR_FP32: exact, OUR_INT8: small}
    whole, short, long, tokens = texts_of(exact / TOKENIZER)
    engines = start_all(given.rivals_python, folders, 1)
    peak_worker = start("peak", [sys.executable, "-m", "benchmarks.int8_peak"], 1)
    speeds: list[object] = []
    try:
        warm_up(engines, short, long)
        for number in range(given.rounds):
            measure(engines, short, long, number)
            speeds.append(peak_worker.ask({})["speeds"])
        facts = {engine.name: engine.ask({}) for engine in engines}
        faithful = fidelity(engines, whole)
    finally:
        for engine in [*engines, peak_worker]:
            engine.close()
    one, two = two_threads(small, short, given.rounds)
    by_size = np.median(np.asarray(speeds, dtype=np.float64), axis=0)
    by_name = {engine.name: engine for engine in engines}
    speed = by_name[OUR_INT8].rate("256 texts") * tokens * operations_per_token(exact, upstream)
    memory = {
        name: {key: number_of(fact, key) for key in ("resident_mb", "peak_mb")}
        for name, fact in facts.items()
    }
    found = goals(by_name, memory, faithful, speed / 1e9 / float(by_size.max()), two / one)
    rows = [
        [
            engine.name,
            *(f"{engine.rate(case):.0f}" for case in CASES),
            f"{engine.p50_ms():.1f}",
            f"{memory[engine.name]['resident_mb']:.0f}",
            f"{memory[engine.name]['peak_mb']:.0f}",
            "{:.4f} / {:.4f}".format(*faithful[engine.name][:2]),
            f"{faithful[engine.name][2]:.3f}",
        ]
        for engine in engines
    ]
    heading = ["texts/s of a core", *CASES, "p50 ms", "MB", "peak MB", "cosine", "overlap@10"]
    print(table(heading, rows))
    sizes = {
        "x".join(map(str, size)): round(float(v), 1) for size, v in zip(SIZES, by_size, strict=True)
    }
    print(f"\nshort texts: {tokens:.1f} tokens; int8 products, Gop/s of a core: {sizes}; "
          f"int8 linear layers: {speed / 1e9:.0f} Gop/s; one thread {one:.0f}, two {two:.0f} "
          "texts/s by the clock\n")  # fmt: skip
    figures = {
        "rounds": given.rounds,
        "tokens_of_short_texts": tokens,
        "int8_products_gops": sizes,
        "int8_linear_layers_gops": speed / 1e9,
        "threads": {"1": one, "2": two},
        "engines": {
            engine.name: {
                "texts_per_cpu_s": {case: engine.rate(case) for case in CASES},
                "texts_per_s": {case: engine.rate(case, wall=True) for case in CASES},
                "p50_ms": engine.p50_ms(),
                **memory[engine.name],
                "cosine_mean_min_overlap_at_10": faithful[engine.name],
                "versions": facts[engine.name]["versions"],
            }
            for engine in engines
        },
    }
    now = datetime.now(UTC).isoformat("T", "seconds")
    write_json(given.out, figures, found, measured_at=now)
    speed_of(by_name, exact, small, tokens, now).write(given.models, MODEL)
    for goal in found:
        print(goal)


if __name__ == "__main__":
    main()
