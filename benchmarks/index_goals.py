"""The goals of the index, from what a run measured."""

from collections.abc import Mapping, Sequence

from benchmarks.index_measure import Contender
from benchmarks.index_rivals import PLAIN, RIVALS
from benchmarks.report import Goal

Figures = Mapping[str, Mapping[str, float]]


def search_goals(
    label: str, aim: float, contenders: Sequence[Contender], made: Figures
) -> list[Goal]:
    """Speed, size and build of our fastest index that reached a recall, against such rivals.

    An index that did not reach it counts as none: the figure is then 0, and the goal missed. The
    lean one is no contender, as its scores are estimates.
    """
    reached = [
        each
        for each in contenders
        if each.aim == aim and each.recall >= aim and each.name != "magpie lean"
    ]
    ours = [each for each in reached if each.name not in RIVALS]
    foreign = [each for each in reached if each.name in RIVALS and each.name != PLAIN]
    plain = [each for each in reached if each.name == PLAIN]
    if not foreign or all(each.name in RIVALS for each in contenders):
        return []
    best = max(ours, key=lambda each: each.per_second, default=None)
    speed = 0.0 if best is None else best.per_second
    fastest = max(each.per_second for each in foreign)
    goals = [Goal(f"searches/s against the better rival {label}", speed / fastest, 2.0)]
    goals += [
        Goal(f"searches/s against plain FAISS HNSW {label}", speed / each.per_second, 1.0)
        for each in plain
    ]
    if best is None:
        return goals
    size = min(made[each.name]["size_mb"] for each in foreign)
    build = min(made[each.name]["build_s"] for each in foreign)
    spread = best.quantile_us(0.99) / best.quantile_us(0.5)
    goals += [
        Goal(f"p99 / p50 {label}", spread, 3.0, "at most"),
        Goal(
            f"file against the smaller rival's {label}",
            made[best.name]["size_mb"] / size,
            0.5,
            "at most",
        ),
        Goal(
            f"build time against the quicker rival's {label}",
            made[best.name]["build_s"] / build,
            1.0,
            "at most",
        ),
    ]
    if any(each.name == "magpie lists" for each in ours):
        quickest = made["magpie lists"]["build_s"] / build
        goals.append(
            Goal(f"quickest build against the quicker rival's {label}", quickest, 0.1, "at most")
        )
    return goals


def filter_goals(label: str, filters: Sequence[Mapping[str, float]]) -> list[Goal]:
    """The slowest searches under each filter against those without one, the first of the lines."""
    return [
        Goal(
            f"p99 with a filter of {line['share']:.1%} against none, {label}",
            line["p99_us"] / filters[0]["p99_us"],
            2.0,
            "at most",
        )
        for line in filters[1:]
    ]


def memory_goals(count: int, memory: Figures, made: Figures, lean_recall: float) -> list[Goal]:
    """What a process takes, and what a second one adds; resident memory from a million on."""
    goals = []
    if count >= 1_000_000 and "magpie" in memory:
        goals += [
            Goal("resident GB with full vectors", memory["magpie"]["rss_mb"] / 1e3, 2.2, "at most"),
            Goal("load and verify, s", memory["magpie"]["load_s"], 10, "at most"),
        ]
    if count >= 1_000_000 and "magpie lean" in memory:
        resident = memory["magpie lean"]["rss_mb"] / 1e3
        goals += [
            Goal("resident GB, lean", resident, 0.8, "at most"),
            Goal("recall@10, lean", lean_recall, 0.95),
        ]
    for name, each in memory.items():
        share = each["second_private_mb"] / made[name]["size_mb"]
        goals.append(
            Goal(f"a second process adds, share of the {name} index", share, 0.1, "at most")
        )
    return goals
