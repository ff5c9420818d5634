"""Tables and goals of the million items."""

from collections.abc import Mapping

from benchmarks.million_catalogue import SHARE
from benchmarks.million_stages import Figures
from benchmarks.report import Goal, table

_BUILDS = ("build", "vectors", "rebuild")
_COMMANDS = (*_BUILDS, "publish", "prune")


def stage_table(figures: Mapping[str, Figures]) -> str:
    """What each command took."""
    heading = ["stage", "clock s", "processor s", "encoded", "texts/s", "peak MB", "private MB"]
    shown = ["wall_s", "cpu_s", "encoded", "texts_per_s", "peak_rss_mb", "peak_private_mb"]
    rows = []
    for name in _COMMANDS:
        if each := figures.get(name):
            places = [1, 1, 0, 0, 0, 0]
            cells = [_cell(each, part, place) for part, place in zip(shown, places, strict=True)]
            rows.append([name, *cells])
    return table(heading, rows)


def version_table(figures: Mapping[str, Figures]) -> str:
    """What each build made, and how the served ones answer."""
    heading = ["version", "type", "items", "MB", "vectors", "index", "table", "recall@10",
               "of new texts", "load s"]  # fmt: skip
    opened = {"build": figures.get("open", {}), "rebuild": figures.get("open rebuild", {})}
    rows = []
    for name in _BUILDS:
        if each := figures.get(name):
            seen = opened.get(name, {})
            parts = ["items", "version_mb", "vectors_mb", "index_mb", "items_mb"]
            sizes = [_cell(each, part, 0) for part in parts]
            recalls = [_cell(each, "build_recall_at_10", 4), _cell(seen, "recall_at_10", 4)]
            load = _cell(seen, "load_and_verify_s", 1)
            rows.append([name, str(each["factory"]), *sizes, *recalls, load])
    return table(heading, rows)


def goals(figures: Mapping[str, Figures], count: int) -> list[Goal]:
    """The goals that the stages so far can tell about."""
    found: list[Goal] = []

    def add(stage: str, name: str, figure: str, asked: float, *, most: bool = True) -> None:
        if stage in figures:
            measured = _number(figures[stage], figure)
            found.append(Goal(name, measured, asked, "at most" if most else "at least"))

    for stage in ("open", "open rebuild"):
        add(stage, f"{stage}: recall@10 of new texts", "recall_at_10", 0.95, most=False)
        add(stage, f"{stage}: load and verify, s", "load_and_verify_s", 10)
    for kind in ("put", "patch", "delete"):
        add("update", f"{kind}: acknowledged to visible elsewhere, s", f"{kind}_visible_max_s", 1)
    if {"rebuild", "update"} <= figures.keys():
        new = 2 * int(count * SHARE) + _number(figures["update"], "put_items")
        encoded = _number(figures["rebuild"], "encoded")
        found.append(
            Goal("texts that the rebuild encoded over new ones", encoded / new, 1, "at most")
        )
    add("swap", "rollback, s", "rollback_s", 1)
    add("swap", "requests that failed while swapping", "failed", 0)
    add("swap", "ids of another version", "ids_of_another_version", 0)
    if "swap" in figures:
        swap = figures["swap"]
        share = _number(swap, "peak_pss_mb") / _number(swap, "one_index_mb")
        found.append(
            Goal("memory of two services at its peak over one index", share, 2.2, "at most")
        )
    return found


def _number(figures: Figures, name: str) -> float:
    return float(figures.get(name, float("nan")))


def _cell(figures: Figures, name: str, places: int) -> str:
    return f"{float(figures[name]):,.{places}f}" if name in figures else "–"
