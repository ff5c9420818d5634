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
    rows = []
    for name in _COMMANDS:
        if each := figures.get(name):
            encoded, rate = _number(each, "encoded"), _number(each, "texts_per_s")
            rows.append(
                [name, f"{_number(each, 'wall_s'):,.1f}", f"{_number(each, 'cpu_s'):,.1f}",
                 f"{encoded:,.0f}", f"{rate:,.0f}", f"{_number(each, 'peak_rss_mb'):,.0f}",
                 f"{_number(each, 'peak_private_mb'):,.0f}"]
            )  # fmt: skip
    return table(heading, rows)


def version_table(figures: Mapping[str, Figures]) -> str:
    """What each build made, and how the served ones answer."""
    heading = ["version", "index", "items", "MB", "vectors", "index", "table", "recall@10",
               "of new texts", "load s"]  # fmt: skip
    opened = {"build": figures.get("open", {}), "rebuild": figures.get("open rebuild", {})}
    rows = []
    for name in _BUILDS:
        if each := figures.get(name):
            seen = opened.get(name, {})
            sizes = [
                _number(each, f"{part}_mb") for part in ("version", "vectors", "index", "items")
            ]
            rows.append(
                [name, str(each["factory"]), f"{_number(each, 'items'):,.0f}",
                 *[f"{size:,.0f}" for size in sizes],
                 f"{_number(each, 'build_recall_at_10'):.4f}",
                 f"{_number(seen, 'recall_at_10'):.4f}",
                 f"{_number(seen, 'load_and_verify_s'):.1f}"]
            )  # fmt: skip
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
