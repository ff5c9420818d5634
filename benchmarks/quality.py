"""How good lists are, and what diversity and the strategies do to them: `make bench-quality`.

Vectors are the stand-in's, of real texts, and kept below `--work` for the next run. Everything is
exact search, so that no index plays a part, and every rival runs in the same run.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.quality_duplicates import THRESHOLDS, duplicates
from benchmarks.quality_rivals import dpp, mmr, ours
from benchmarks.quality_sets import (
    Films,
    JudgedSet,
    coco,
    films,
    kept_vectors,
    liked_together,
    tate,
)
from benchmarks.quality_strategies import DEPTHS, STRATEGIES, Tried, try_strategies
from benchmarks.report import Goal, table, write_json
from benchmarks.worker import ROOT
from service.encoders.exports import find_export
from service.encoders.onnx_encoder import OnnxEncoder
from service.recommend.arrange import NEAR_DUPLICATE
from service.types import Scores, Vectors

K = 10
POOL = 50
LOSS = 0.02
ASKED_SAVED = 0.3
MODEL = "all-minilm-l6-v2"

_Choose = Callable[[Vectors, Scores, int, float], list[int]]
WAYS: dict[str, tuple[_Choose, Sequence[float]]] = {
    "MMR": (mmr, (0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.65, 0.6, 0.5)),
    "DPP": (dpp, (0.99, 0.98, 0.97, 0.95, 0.93, 0.9, 0.85, 0.8, 0.6)),
    "SSD": (ours, (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)),
}


def ndcg(rows: NDArray[np.int64], gains: Mapping[int, float]) -> float:
    """NDCG@10 of a list with graded gains."""
    discounts = 1 / np.log2(np.arange(2, K + 2))
    got = np.array([gains.get(int(row), 0.0) for row in rows[:K]])
    best = np.sort(np.fromiter(gains.values(), float))[::-1][:K]
    ideal = float(best @ discounts[: len(best)])
    return float(got @ discounts[: len(got)]) / ideal if ideal else 0.0


def likeness(vectors: Vectors) -> float:
    """In-list similarity: the mean cosine of all pairs of a list."""
    products = vectors @ vectors.T
    count = len(vectors)
    return float((products.sum() - np.trace(products)) / (count * (count - 1)))


def curve(judged: JudgedSet, way: str) -> list[tuple[float, float, float]]:
    """For each setting of a way, and first without any: NDCG@10, its standard error, likeness.

    The error is that of the paired difference to the plain list.
    """
    choose, settings = WAYS[way]
    plain: list[tuple[NDArray[np.int64], Scores]] = []
    for question, hidden in zip(judged.questions, judged.hidden, strict=True):
        scores = judged.items @ question
        scores[hidden] = -np.inf
        rows = np.argpartition(-scores, POOL)[:POOL]
        rows = rows[np.argsort(-scores[rows], kind="stable")]
        plain.append((rows, scores[rows]))
    points = []
    base: NDArray[np.float64] | None = None
    for setting in (None, *settings):
        gained, alike = [], []
        for (rows, scores), gains in zip(plain, judged.gains, strict=True):
            order = list(range(K))
            if setting is not None:
                order = choose(judged.items[rows], scores.copy(), K, setting)
            gained.append(ndcg(rows[order], gains))
            alike.append(likeness(judged.items[rows[order]]))
        values = np.array(gained)
        base = values if base is None else base
        error = float((values - base).std() / np.sqrt(len(values)))
        points.append((float(values.mean()), error, float(np.mean(alike))))
    return points


def saved_at_loss(points: Sequence[tuple[float, float, float]], loss: float) -> float:
    """The share of in-list similarity saved where just this share of NDCG is lost."""
    base, _, dull = points[0]
    line = [(1 - gained / base, 1 - alike / dull) for gained, _, alike in points]
    for (lost, saved), (lost_next, saved_next) in pairwise(line):
        if lost <= loss < lost_next:
            return saved + (loss - lost) / (lost_next - lost) * (saved_next - saved)
    return line[-1][1]


def diversity(sets: Sequence[JudgedSet]) -> tuple[dict[str, object], list[Goal], str]:
    """Compare the three ways on every set."""
    figures: dict[str, object] = {}
    goals, rows, dial = [], [], []
    for judged in sets:
        curves = {way: curve(judged, way) for way in WAYS}
        saved = {way: saved_at_loss(points, LOSS) for way, points in curves.items()}
        base, _, dull = curves["SSD"][0]
        figures[judged.name] = {"curves": curves, "saved_at_2_percent": saved}
        rows.append(
            [judged.name, f"{base:.4f}", f"{dull:.3f}", *(f"{saved[way]:.1%}" for way in WAYS)]
        )
        goals.append(
            Goal(f"in-list similarity saved at 2 % NDCG, {judged.name}", saved["SSD"], ASKED_SAVED)
        )
        dial.append(
            [judged.name]
            + [
                f"{gained / base - 1:+.1%} / {alike / dull - 1:+.1%}"
                for gained, _, alike in curves["SSD"][1:]
            ]
        )
    text = table(["set", "NDCG@10", "similarity", *(f"{way} saves" for way in WAYS)], rows)
    heading = ["NDCG@10 / similarity at diversity", *map(str, WAYS["SSD"][1])]
    return figures, goals, text + "\n\n" + table(heading, dial)


def strategies(films: Films) -> tuple[dict[str, object], str]:
    """Ask the engine itself with what people liked and disliked before."""
    with tempfile.TemporaryDirectory() as folder:
        tried = try_strategies(films, Path(folder), lambda rows, gains: ndcg(rows, gains))
    rows = [
        [
            f"{depth} likes{', dislikes' if has_dislikes else ''}",
            *(_figure(tried, strategy, depth, has_dislikes) for strategy in STRATEGIES),
        ]
        for depth in DEPTHS
        for has_dislikes in (False, True)
    ]
    figures: dict[str, object] = {
        f"{strategy}, {depth} likes{', dislikes' if has_dislikes else ''}": [
            float(found.mean()),
            float(found.std() / np.sqrt(len(found))),
        ]
        for (strategy, depth, has_dislikes), found in tried.items()
    }
    return figures, table(["NDCG@10", *map(str, STRATEGIES)], rows)


def _figure(tried: Tried, strategy: str, depth: int, has_dislikes: bool) -> str:
    found = tried[strategy, depth, has_dislikes]
    against = found - tried["average_vector", depth, has_dislikes]
    error = against.std() / np.sqrt(len(against))
    difference = "" if strategy == "average_vector" else f" ({against.mean():+.4f} ± {error:.4f})"
    return f"{found.mean():.4f}{difference}"


def main() -> None:
    """Measure, print, and write docs/benchmarks/quality.json."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--sets", type=Path, default=ROOT.parent / "shared" / "data")
    options.add_argument("--models", type=Path, default=ROOT / "models")
    options.add_argument("--work", type=Path, default=ROOT / "benchmarks" / ".quality")
    given = options.parse_args()
    if not given.sets.is_dir():
        sys.exit(f"{given.sets} is not there: this measures on sets that are beside the project.")
    encoder = OnnxEncoder.open(find_export(given.models, MODEL))
    encode = kept_vectors(encoder.encode_items, encoder.identity.digest, given.work)
    listed = films(given.sets, encode)
    sets = [
        tate(given.sets, encode, seed=1),
        coco(given.sets, encode, seed=1),
        liked_together(listed, seed=1),
    ]
    varied_figures, goals, text = diversity(sets)
    print(text, "\n")
    strategy_figures, text = strategies(listed)
    print(text, "\n")
    found = {judged.name: duplicates(judged.items, judged.texts) for judged in sets}
    heading = ["pairs at cosine (share of one wording)", *map(str, THRESHOLDS)]
    print(table(heading, [[name, *cells] for name, cells in found.items()]))
    print(f"near-duplicates from {NEAR_DUPLICATE} on\n")
    for goal in goals:
        print(goal)
    figures = {
        "model": str(encoder.identity),
        "diversity": varied_figures,
        "strategies": strategy_figures,
        "near_duplicates": found,
    }
    now = datetime.now(UTC).isoformat(timespec="seconds")
    write_json(ROOT / "docs/benchmarks/quality.json", figures, goals, measured_at=now)


if __name__ == "__main__":
    main()
