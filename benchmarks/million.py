"""A million items from a file to an answer and back: `make bench-million`.

Build, with every text encoded, and tune; publish; build from vectors brought along; serve; change
items while it serves; build again with 1 % changed, 1 % removed and 1 % new; publish that; roll
back; prune. Every stage is a command of Magpie, as a person would give it. A stage that is done is
not done again: its figures lie in `--work`, and a run that was stopped goes on where it was.
`--until STAGE` stops early, `--without STAGE` leaves one out, `--again STAGE` does one anew.
"""

import argparse
import json
import shutil
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import million_live as live
from benchmarks.million_catalogue import (
    OTHERS,
    SHARE,
    TEXT,
    Catalogue,
    Texts,
    item_id,
    row_of,
    write_day,
)
from benchmarks.million_opened import opened
from benchmarks.million_report import goals, stage_table, version_table
from benchmarks.million_stages import Figures, Stages, magpie, size_mb
from benchmarks.report import write_json
from benchmarks.worker import ROOT
from service.index.layout import version_names
from service.index.publish import current_version

NAME = "wares"
MODEL = "all-minilm-l6-v2"
_ASKED = 500
_THREADS = 2


class Walk:
    """The stages, in their order; each one returns its figures."""

    def __init__(self, work: Path, sets: Path, count: int) -> None:
        self._work, self._count = work, count
        self._indexes = work / "indexes"
        self._home = self._indexes / NAME
        self._catalogue = Catalogue.draw(Texts.read(sets), count, seed=5)
        self.stages = {
            "model": self.model,
            "catalogue": self.catalogue,
            "build": lambda: self._build(self._day(1), ("--tune",)),
            "publish": self.publish,
            "open": lambda: self._open(current_version(self._indexes, NAME)),
            "vectors": self.vectors,
            "update": lambda: live.update(work, self._catalogue),
            "rebuild": lambda: self._build(self._day(2), ()),
            "open rebuild": lambda: self._open(version_names(self._home)[-1]),
            "swap": self.swap,
            "prune": self.prune,
        }

    def model(self) -> Figures:
        """The stand-in in int8, in a folder of its own: what others use here stays as it is."""
        models = self._work / "models"
        shutil.copytree(ROOT / "models", models, dirs_exist_ok=True)
        _, used = magpie(["model", "quantize", MODEL, "--make-current"], self._work)
        return used

    def catalogue(self) -> Figures:
        """Write both days, and the texts that are asked for."""
        texts = [TEXT.format(**item) for item in self._catalogue.others()[OTHERS - _ASKED :]]
        (self._work / "asked.json").write_text(json.dumps(texts), encoding="utf-8")
        return {
            "first_day_mb": write_day(self._day(1), self._catalogue.first_day()) / 1e6,
            "second_day_mb": write_day(self._day(2), self._catalogue.second_day()) / 1e6,
        }

    def publish(self) -> Figures:
        """Publish the tuned version."""
        _, used = magpie(["index", "publish", NAME], self._work)
        return used

    def swap(self) -> Figures:
        """Publish the rebuilt version and roll back, under load."""
        first, second = current_version(self._indexes, NAME), version_names(self._home)[-1]
        share, gone = int(self._count * SHARE), self._catalogue.gone_rows()
        put = range(self._count + 2 * share, self._count + 2 * share + OTHERS)

        def in_first(item: str) -> bool:
            return row_of(item) < self._count or row_of(item) in put

        def in_second(item: str) -> bool:
            row = row_of(item)
            return row not in gone and (row < self._count + share or row in put)

        asked = [item_id(row) for row in self._catalogue.rows_on_both_days(5_000)[100:]]
        holds = {f"{NAME}@{first}": in_first, f"{NAME}@{second}": in_second}
        return live.swap(self._work, NAME, second, asked, holds)

    def prune(self) -> Figures:
        """Delete all but the newest, the served one, and the one before it."""
        before = size_mb(self._home)
        _, used = magpie(["index", "prune", NAME, "--keep", "1", "--yes"], self._work)
        left = len(version_names(self._home))
        return used | {"versions_left": left, "freed_mb": before - size_mb(self._home)}

    def vectors(self) -> Figures:
        """Build once more, from vectors that were brought along; this version is not published."""
        source = self._home / current_version(self._indexes, NAME) / "vectors.npy"
        brought = ("--vectors", str(source), "--vector-model", "brought-along")
        return self._build(self._day(1), brought)

    def _build(self, day: Path, options: Sequence[str]) -> Figures:
        model = () if "--vectors" in options else ("--model", MODEL)
        command = ["index", "build", str(day), "--name", NAME, "--text", TEXT, *model, *options]
        output, used = magpie([*command, "--threads", str(_THREADS), "--json"], self._work)
        report = json.loads(output)
        figures: Figures = used | {
            "items": report["items"],
            "encoded": report["embedded"]["encoded"],
            "reused": report["embedded"]["reused"],
            "texts_per_s": report["texts_per_second"],
            "factory": report["factory"],
            "build_recall_at_10": report["recall_at_10"],
            "build_recall_at_100": report["recall_at_100"],
            "version_mb": report["total_bytes"] / 1e6,
            "vectors_mb": report["size_bytes"]["vectors.npy"] / 1e6,
            "store_mb": report["store_bytes"] / 1e6,
        }
        for path, size in report["size_bytes"].items():
            part = "items" if path.startswith("items/") else path.split(".")[0]
            if part != "vectors":
                figures[f"{part}_mb"] = float(figures.get(f"{part}_mb", 0)) + size / 1e6
        return figures | {f"{stage}_s": spent for stage, spent in report["seconds"].items()}

    def _open(self, version: str) -> Figures:
        return opened(self._home / version, self._work / "models", self._work / "asked.json")

    def _day(self, number: int) -> Path:
        return self._work / f"day-{number}.jsonl"


def main() -> None:
    """Do the stages that are not done, print, write."""
    options = _parse()
    work = options.work / str(options.items)
    walk, stages = Walk(work, options.sets, options.items), Stages(work / "figures.json")
    work.mkdir(parents=True, exist_ok=True)
    stages.forget(options.again)
    wanted = [name for name in walk.stages if name not in options.without]
    for name in wanted:
        stages.run(name, walk.stages[name])
        if name == options.until:
            break
    figures = stages.all()
    print(f"\n{options.items:,} items\n\n{stage_table(figures)}\n\n{version_table(figures)}\n")
    reached = goals(figures, options.items)
    for goal in reached:
        print(goal)
    path = ROOT / "docs" / "benchmarks" / "million.json"
    if options.items >= 1_000_000 and figures.keys() >= set(wanted):
        now = datetime.now(UTC).isoformat(timespec="seconds")
        write_json(path, {"items": options.items, "stages": figures}, reached, measured_at=now)


def _parse() -> argparse.Namespace:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--items", type=int, default=1_000_000)
    options.add_argument("--sets", type=Path, default=ROOT.parent / "shared" / "data")
    options.add_argument("--work", type=Path, default=ROOT / "benchmarks" / ".million")
    options.add_argument("--until", help="the last stage to do")
    options.add_argument("--without", action="append", default=[], help="a stage to leave out")
    options.add_argument("--again", action="append", default=[], help="a stage to do anew")
    return options.parse_args()


if __name__ == "__main__":
    main()
