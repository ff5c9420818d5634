"""Our index beside hnswlib, usearch and plain FAISS: `make bench-index`.

Everything runs on one thread over the same vectors in one run. Engines are asked in turn, one query
at a time, and timed by the processor's clock, which other programs on the machine cannot take away;
figures are medians of the rounds. What was built, and every effort that was chosen, is kept below
`--work`: a run that was cut off goes on where it was, and can be done in parts with `--only`.
"""

import argparse
import json
import sys
from datetime import UTC, datetime
from functools import cached_property, partial
from pathlib import Path

import faiss
import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from benchmarks import index_rivals as rivals
from benchmarks.index_filters import drawn_masks, filter_rows, true_within
from benchmarks.index_goals import filter_goals, memory_goals, search_goals
from benchmarks.index_measure import Contender, recall_of, smallest_effort, time_in_turn
from benchmarks.index_memory import memory_of
from benchmarks.index_ours import build_ours, choose_efforts, efforts_of, open_ours
from benchmarks.index_rivals import RIVALS
from benchmarks.index_sets import SETS, kept_truth, open_set
from benchmarks.report import table, write_json
from benchmarks.worker import ROOT
from service.index.faiss_index import FaissIndex
from service.index.index_builder import Plan
from service.index.recall_queries import RecallQueries
from service.types import Vector

K = 10
AIMS = (0.95, 0.99)
LEAN = "magpie lean"
OURS = {
    "magpie": Plan("PCA160,HNSW16,SQ8", 200),
    "magpie 24 links": Plan("PCA192,HNSW24,SQ8", 150),
    "magpie lists": Plan("PCA160,IVF2048,SQ8"),
    LEAN: Plan("HNSW16,SQ8", 200),
}
# Quickly built, or small: not meant for more.
LESS = ("magpie lists", LEAN)


class Workplace:
    """A folder with vectors, queries, and what was built and worked out of them."""

    def __init__(self, work: Path, kind: str, count: int) -> None:
        name = str(count) if kind == "made" else f"{kind}-{count}"
        self.folder = work / name
        self.vectors, self._held_out, self.queries = open_set(self.folder, kind, count)

    @cached_property
    def held_out(self) -> RecallQueries:
        """What our efforts are chosen with: neither indexed nor timed."""
        return RecallQueries.held_out(self.vectors, self._held_out)

    def home(self, name: str) -> Path:
        """Where an index of ours is."""
        return self.folder / name.replace(" ", "-")

    @cached_property
    def truth(self) -> NDArray[np.int64]:
        """True neighbours of all queries."""
        return kept_truth(self.folder, "all", self.vectors, self.queries, K)

    def build(self, name: str) -> dict[str, float]:
        """Build what is not there yet; processor seconds, and megabytes on disk."""
        if name in RIVALS:
            seconds = rivals.build_rival(self.vectors, name, self.folder)
            size = rivals.rival_file(self.folder, name).stat().st_size
            return {"build_s": seconds, "size_mb": size / 1e6}
        seconds = build_ours(self.vectors, OURS[name], self.home(name))
        size = sum(file.stat().st_size for file in self.home(name).glob("index.*"))
        return {"build_s": seconds, "size_mb": size / 1e6}

    def contenders(self, name: str) -> list[Contender]:
        """An index once for each aim: ours with the effort that a build chooses.

        A rival has the smallest effort that reaches the aim on the very queries that are timed.
        """
        if name in RIVALS:
            return self._rivals(name)
        home = self.home(name)
        aims = AIMS[:1] if name in LESS else AIMS
        choose_efforts(self.held_out, aims, home, rescored=name != LEAN)
        found = []
        for aim, effort in efforts_of(home).items():
            ask = _ask_ours(open_ours(home, self.vectors, aim))
            recall = recall_of(ask, self.queries, self.truth)
            found.append(Contender(name, float(aim), effort.at_10, recall, ask, lambda: None))
        return found

    def _rivals(self, name: str) -> list[Contender]:
        path = rivals.rival_file(self.folder, name)
        rival = RIVALS[name].open(path, self.vectors.shape[1])
        note = path.with_suffix(".efforts.json")
        if not note.exists():
            reached = smallest_effort(rival.ask, rival.effort, self.queries, self.truth, AIMS)
            note.write_text(json.dumps(reached))
        return [
            Contender(name, aim, effort, recall, rival.ask, partial(rival.effort, effort))
            for aim, effort, recall in json.loads(note.read_text())
        ]

    def filters(self) -> list[dict[str, float]]:
        """Our index under filters."""
        index = open_ours(self.home("magpie"), self.vectors)
        return filter_rows(index, self.folder, self.vectors, self.queries, K)

    def prepare_filters(self) -> None:
        """Work out what is right under filters."""
        for share, mask in drawn_masks(len(self.vectors)):
            true_within(self.folder, share, mask, self.vectors, self.queries, K)


def main() -> None:
    """Run the benchmark for one number of vectors."""
    options = _parse()
    faiss.omp_set_num_threads(1)
    # The threads of BLAS wait for work by spinning, which is counted as processor time.
    threadpool_limits(1)
    place = Workplace(options.work, options.set, options.items)
    names = options.only.split("|") if options.only else [*OURS, *RIVALS]
    made, contenders = {}, []
    for name in names:
        made[name] = place.build(name)
        print(f"{name}: {made[name]}", file=sys.stderr, flush=True)
    if "magpie" in names:
        place.prepare_filters()
    for name in names:
        contenders += place.contenders(name)
        print(f"{name}: efforts chosen", file=sys.stderr, flush=True)
    if options.build_only:
        return
    time_in_turn(contenders, place.queries, K, options.rounds, options.each)
    kept = [name for name in ("magpie", LEAN) if name in names]
    memory = {name: memory_of(place.home(name), options.items) for name in kept}
    filters = place.filters() if "magpie" in names else []
    label = f"{options.items:,} {'vectors' if options.set == 'made' else 'texts'}"
    searches = _search_rows(contenders, made)
    print(f"\n{label}, k = {K}, one thread, processor time\n")
    print(table(list(searches[0]), [[f"{cell}" for cell in row.values()] for row in searches]))
    print()
    print(_filter_table(filters))
    for name, each in memory.items():
        print(f"\nmemory of {name}: " + ", ".join(f"{k} {v:.1f}" for k, v in each.items()))
    goals = [
        goal
        for aim in AIMS
        for goal in search_goals(f"at recall {aim}, {label}", aim, contenders, made)
    ]
    lean = max((each.recall for each in contenders if each.name == LEAN), default=0.0)
    goals += filter_goals(label, filters) + memory_goals(options.items, memory, made, lean)
    print()
    for goal in goals:
        print(goal)
    figures = {"built": made, "filters": filters, "memory": memory, "searches": searches}
    path = ROOT / "docs" / "benchmarks" / f"index-{place.folder.name}.json"
    write_json(path, figures, goals, measured_at=datetime.now(UTC).isoformat(timespec="seconds"))


def _search_rows(
    contenders: list[Contender], made: dict[str, dict[str, float]]
) -> list[dict[str, str]]:
    return [
        {
            "index": each.name,
            "aim": f"{each.aim}",
            "effort": f"{each.effort}",
            "recall@10": f"{each.recall:.4f}",
            "1/s": f"{each.per_second:,.0f}",
            "p50 µs": f"{each.quantile_us(0.5):.0f}",
            "p95 µs": f"{each.quantile_us(0.95):.0f}",
            "p99 µs": f"{each.quantile_us(0.99):.0f}",
            "build s": f"{made[each.name]['build_s']:.1f}",
            "MB": f"{made[each.name]['size_mb']:.0f}",
        }
        for each in contenders
    ]


def _filter_table(filters: list[dict[str, float]]) -> str:
    return table(
        ["filter lets through", "recall@10", "p50 µs", "p99 µs", "first time p50 µs"],
        [
            [
                f"{line['share']:.1%}",
                f"{line['recall']:.4f}",
                f"{line['p50_us']:.0f}",
                f"{line['p99_us']:.0f}",
                f"{line['first_p50_us']:.0f}",
            ]
            for line in filters
        ],
    )


def _ask_ours(index: FaissIndex) -> rivals.Ask:
    def ask(query: Vector, k: int) -> NDArray[np.int64]:
        found: NDArray[np.int64] = index.search(query[np.newaxis], k)[0][0]
        return found

    return ask


def _parse() -> argparse.Namespace:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--items", type=int, default=200_000)
    options.add_argument("--set", choices=[*SETS], default="made", help="vectors, or real texts'")
    options.add_argument("--work", type=Path, default=ROOT / "benchmarks" / ".index")
    options.add_argument("--only", help="names of indexes, with | between them")
    options.add_argument("--build-only", action="store_true", help="prepare all, measure nothing")
    options.add_argument("--rounds", type=int, default=7)
    options.add_argument("--each", type=int, default=300, help="queries of a round")
    return options.parse_args()


if __name__ == "__main__":
    main()
