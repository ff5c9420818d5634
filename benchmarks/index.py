"""Our index beside hnswlib, usearch and plain FAISS: `make bench-index`.

Everything runs on one thread over the same vectors in one run. Engines are asked in turn, one query
at a time, and timed by the processor's clock, which other programs on the machine cannot take away;
figures are medians of the rounds. What was built is kept below `--work`, so that a run can be
repeated, or done in parts: `--items 200000`, then `--items 1000000`.
"""

import argparse
import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import faiss
import numpy as np
from numpy.typing import NDArray

from benchmarks import index_rivals as rivals
from benchmarks.index_filters import filter_rows
from benchmarks.index_measure import (
    Contender,
    recall_of,
    smallest_effort,
    time_in_turn,
    true_rows,
)
from benchmarks.index_memory import memory_of
from benchmarks.index_ours import build_ours, open_ours, settings_of
from benchmarks.index_vectors import DIM, World, blocks
from benchmarks.report import Goal, table, write_json
from benchmarks.worker import ROOT
from service.index.faiss_index import FaissIndex
from service.index.index_builder import Plan
from service.index.vectors import open_vectors
from service.types import Vector, Vectors

AIMS = (0.95, 0.99)
OURS = {
    "magpie": (Plan("PCA160,HNSW16,SQ8", 200), True),
    "magpie 24 links": (Plan("PCA192,HNSW24,SQ8", 150), True),
    "magpie lists": (Plan("PCA160,IVF2048,SQ8"), True),
    "magpie lean": (Plan("HNSW16,SQ8", 200), False),
}
PLAIN = "faiss HNSW32,Flat"
RIVALS: dict[str, tuple[Callable[[Vectors, Path], float], Callable[[Path], rivals.Rival]]] = {
    "hnswlib": (rivals.build_hnswlib, lambda path: rivals.open_hnswlib(path, DIM)),
    "usearch bf16": (
        lambda vectors, path: rivals.build_usearch(vectors, path, "bf16"),
        lambda path: rivals.open_usearch(path, "bf16"),
    ),
    "usearch i8": (
        lambda vectors, path: rivals.build_usearch(vectors, path, "i8"),
        lambda path: rivals.open_usearch(path, "i8"),
    ),
    PLAIN: (
        lambda vectors, path: rivals.build_plain_faiss(vectors, path, "HNSW32,Flat"),
        lambda path: rivals.open_plain_faiss(path, PLAIN),
    ),
}


def prepare(folder: Path, count: int) -> Vectors:
    """Make vectors and queries once, and map them."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "vectors.npy"
    if not (folder / "queries.npy").exists():
        world = World.make(seed=1)
        vectors = np.lib.format.open_memmap(path, "w+", np.float32, (count, DIM))
        for start, block in blocks(world, count, seed=100):
            vectors[start : start + len(block)] = block
        vectors.flush()
        np.save(folder / "queries.npy", world.draw(4000, seed=99), allow_pickle=False)
    return open_vectors(path, count, DIM)


def build_missing(folder: Path, vectors: Vectors, names: list[str]) -> dict[str, dict[str, float]]:
    """Build what is not there yet; for each name processor seconds and megabytes on disk."""
    made = {}
    for name in names:
        if name in OURS:
            home = folder / name.replace(" ", "-")
            plan, rescored = OURS[name]
            if not (home / "settings.json").exists():
                aims = {f"{aim}": aim for aim in (AIMS if rescored else AIMS[:1])}
                held_out = World.make(seed=1).draw(4096, seed=77)
                build_ours(vectors, held_out, plan, aims, home, rescored=rescored)
            seconds, files = settings_of(home)[1], list(home.glob("index.*"))
        else:
            path = folder / (name.replace(" ", "-").replace(",", "-") + ".bin")
            note = path.with_suffix(".json")
            if not note.exists():
                note.write_text(json.dumps({"seconds": RIVALS[name][0](vectors, path)}))
            seconds, files = json.loads(note.read_text())["seconds"], [path]
        made[name] = {
            "build_s": seconds,
            "size_mb": sum(file.stat().st_size for file in files) / 1e6,
        }
        print(f"{name}: {made[name]}", file=sys.stderr, flush=True)
    return made


def our_contenders(
    folder: Path, name: str, vectors: Vectors, queries: Vectors, truth: NDArray[np.int64]
) -> list[Contender]:
    """Our index with the effort that the build chose, once for each aim."""
    home, found = folder / name.replace(" ", "-"), []
    for aim, effort in settings_of(home)[2].items():
        index = open_ours(home, vectors, aim)
        ask = _ask_ours(index)
        recall = recall_of(ask, queries, truth)
        found.append(Contender(name, float(aim), effort.at_10, recall, ask, lambda: None))
    return found


def rival_contenders(
    rival: rivals.Rival, queries: Vectors, truth: NDArray[np.int64]
) -> list[Contender]:
    """A rival with the smallest effort that reaches each aim, found with the queries themselves."""
    return [
        Contender(rival.name, aim, effort, recall, rival.ask, partial(rival.effort, effort))
        for aim, effort, recall in smallest_effort(rival.ask, rival.effort, queries, truth, AIMS)
    ]


def goals(
    count: int,
    contenders: list[Contender],
    made: dict[str, dict[str, float]],
    filters: list[dict[str, float]],
    memory: dict[str, dict[str, float]],
) -> list[Goal]:
    """The goals of the index, in the order of their list."""
    found = []
    for aim in AIMS:
        ours = [c for c in contenders if c.name in OURS and c.aim == aim and c.recall >= aim]
        others = [c for c in contenders if c.name not in OURS and c.aim == aim]
        foreign = [c.per_second for c in others if c.name != PLAIN]
        plain = [c.per_second for c in others if c.name == PLAIN]
        # Only those that reach the recall at all.
        alien = [made[c.name] for c in others if c.name != PLAIN]
        if not ours or not foreign:
            continue
        best = max(ours, key=lambda c: c.per_second)
        label = f"at recall {aim}, {count:,} vectors"
        found.append(Goal(f"searches/s against the better rival {label}",
                          best.per_second / max(foreign), 2.0))  # fmt: skip
        if plain:
            found.append(Goal(f"searches/s against plain FAISS HNSW {label}",
                              best.per_second / plain[0], 1.0))  # fmt: skip
        spread = best.quantile_us(0.99) / best.quantile_us(0.5)
        found.append(Goal(f"p99 / p50 {label}", spread, 3.0, "at most"))
        found.append(Goal(f"file against the smaller rival's {label}",
                          made[best.name]["size_mb"] / min(a["size_mb"] for a in alien), 0.5,
                          "at most"))  # fmt: skip
        found.append(Goal(f"build time against the quicker rival's {label}",
                          made[best.name]["build_s"] / min(a["build_s"] for a in alien), 1.0,
                          "at most"))  # fmt: skip
        if "magpie lists" in made:
            found.append(Goal(f"quickest build against the quicker rival's {label}",
                              made["magpie lists"]["build_s"] / min(a["build_s"] for a in alien),
                              0.1, "at most"))  # fmt: skip
    unfiltered = next((line["p99_us"] for line in filters if line["share"] == 1), None)
    for line in filters:
        if unfiltered and line["share"] < 1:
            found.append(Goal(f"p99 with a filter of {line['share']:.1%} against none, {count:,}",
                              line["p99_us"] / unfiltered, 2.0, "at most"))  # fmt: skip
    if count >= 1_000_000 and {"magpie", "magpie lean"} <= memory.keys():
        found += [
            Goal("resident GB with full vectors", memory["magpie"]["rss_mb"] / 1e3, 2.2, "at most"),
            Goal("resident GB, lean", memory["magpie lean"]["rss_mb"] / 1e3, 0.8, "at most"),
            Goal("load and verify, s", memory["magpie"]["load_s"], 10, "at most"),
        ]
    for name, each in memory.items():
        share = each["second_private_mb"] / made[name]["size_mb"]
        found.append(
            Goal(f"a second process adds, share of the {name} index", share, 0.1, "at most")
        )
    return found


def main() -> None:
    """Run the benchmark for one number of vectors."""
    options = _parse()
    faiss.omp_set_num_threads(1)
    folder = options.work / str(options.items)
    vectors = prepare(folder, options.items)
    queries = np.load(folder / "queries.npy", allow_pickle=False)
    names = options.only.split("|") if options.only else [*OURS, *RIVALS]
    made = build_missing(folder, vectors, names)
    if options.build_only:
        return
    asked, timed = queries[:1000], queries[1000:]
    truth = true_rows(vectors, asked, 10)
    contenders: list[Contender] = []
    for name in names:
        if name in OURS:
            contenders += our_contenders(folder, name, vectors, asked, truth)
        else:
            path = folder / (name.replace(" ", "-").replace(",", "-") + ".bin")
            contenders += rival_contenders(RIVALS[name][1](path), asked, truth)
    time_in_turn(contenders, timed, 10, options.rounds, options.each)
    rows = [
        [c.name, f"{c.aim}", str(c.effort), f"{c.recall:.4f}", f"{c.per_second:,.0f}",
         f"{c.quantile_us(0.5):.0f}", f"{c.quantile_us(0.95):.0f}", f"{c.quantile_us(0.99):.0f}",
         f"{made[c.name]['build_s']:.0f}", f"{made[c.name]['size_mb']:.0f}"]
        for c in contenders
    ]  # fmt: skip
    heading = ["index", "aim", "effort", "recall@10", "1/s", "p50 µs", "p95 µs", "p99 µs",
               "build s", "MB"]  # fmt: skip
    print(f"\n{options.items:,} vectors of {DIM}, k = 10, one thread, processor time\n")
    print(table(heading, rows))
    index = open_ours(folder / "magpie", vectors) if "magpie" in names else None
    filters = [] if index is None else filter_rows(index, vectors, timed[:1000], 10)
    print()
    print(table(
        ["filter lets through", "recall@10", "p50 µs", "p99 µs", "first time p50 µs"],
        [[f"{x['share']:.1%}", f"{x['recall']:.4f}", f"{x['p50_us']:.0f}", f"{x['p99_us']:.0f}",
          f"{x['first_p50_us']:.0f}"] for x in filters],
    ))  # fmt: skip
    kept = [name for name in ("magpie", "magpie lean") if name in names]
    memory = {n: memory_of(folder / n.replace(" ", "-"), options.items) for n in kept}
    for name, each in memory.items():
        print(f"\nmemory of {name}: " + ", ".join(f"{k} {v:.1f}" for k, v in each.items()))
    reached = goals(options.items, contenders, made, filters, memory)
    print()
    for goal in reached:
        print(goal)
    figures = {"built": made, "filters": filters, "memory": memory, "searches": rows}
    path = ROOT / "docs" / "benchmarks" / f"index-{options.items}.json"
    write_json(path, figures, reached, measured_at=datetime.now(UTC).isoformat(timespec="seconds"))


def _ask_ours(index: FaissIndex) -> rivals.Ask:
    def ask(query: Vector, k: int) -> NDArray[np.int64]:
        found: NDArray[np.int64] = index.search(query[np.newaxis], k)[0][0]
        return found

    return ask


def _parse() -> argparse.Namespace:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--items", type=int, default=200_000)
    options.add_argument("--work", type=Path, default=ROOT / "benchmarks" / ".index")
    options.add_argument("--only", help="names of indexes, with | between them")
    options.add_argument("--build-only", action="store_true", help="build what is missing, no more")
    options.add_argument("--rounds", type=int, default=7)
    options.add_argument("--each", type=int, default=300, help="queries of a round")
    return options.parse_args()


if __name__ == "__main__":
    main()
