"""The HTTP path beside its ceiling and the usual FastAPI shape: `make bench-http`.

One server at a time answers, on core 0; wrk asks on core 1, where Redis runs as well. Servers take
turns, round by round, and every figure is the median of the rounds. The ceiling is a bare ASGI
application that returns the same bytes. Goals compare **processor time a request**, which other
programs on the machine cannot take away; requests a second stand beside it, and on an idle machine
they say the same. Each case of Magpie then gets 70 % of its own capacity from an open-loop
generator, evenly spaced and as independent callers come.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict

from benchmarks import http_catalogue as catalogue
from benchmarks.http_contest import CASES, LOAD_CORE, SERVER_CORE, Contender, Fleet, measure
from benchmarks.http_encoder import encoder_alone
from benchmarks.http_pace import Paced, pace
from benchmarks.http_quality import recall_of
from benchmarks.http_stages import stages
from benchmarks.report import Goal, table, write_part
from benchmarks.worker import ROOT

_LOAD_SHARE = 0.7
_SHARES = {"hit": 0.65, "redis": 0.22, "item": 0.11, "filter": 0.08, "board": 0.05}
_TIMES_USUAL = {"hit": 3.5, "item": 3.0}
_SAME_TEXT, _TEXTS_AT_ONCE = 1.25, 2.0
_TAIL = 3.0
_STAGED = ("item", "filter", "board")
_RESULTS = ROOT / "docs" / "benchmarks" / "http.json"


def paced(contenders: Sequence[Contender], seconds: float) -> dict[str, dict[str, Paced]]:
    """Give Magpie 70 % of what it managed in each case; by case, by kind of arrivals."""
    found: dict[str, dict[str, Paced]] = {}
    for each in contenders:
        if each.role != "magpie":
            continue
        rate, found[each.case] = _LOAD_SHARE * each.rate, {}
        for arrivals in ("steady", "poisson"):
            first = each.first(int(rate * (seconds + 1)))
            run = pace(
                each.server,
                each.bodies.path,
                first,
                rate=rate,
                seconds=seconds,
                cores=LOAD_CORE,
                arrivals=arrivals,
            )
            found[each.case][arrivals] = run
            print(f"{each.case} {arrivals}: {run}", file=sys.stderr, flush=True)
    return found


def text_figures(reader: Contender) -> dict[str, float]:
    """What a text costs: the encoder alone, one caller at a time, many at once."""
    alone = encoder_alone(SERVER_CORE)
    single = reader.ask(4, connections=1)
    again = encoder_alone(SERVER_CORE)
    return {
        "encoder_p50_ms": (alone["p50_ms"] + again["p50_ms"]) / 2,
        "encoder_cpu_ms": (alone["cpu_ms"] + again["cpu_ms"]) / 2,
        "single_p50_ms": single.p50_us / 1e3,
        "together_cpu_ms": reader.cost_us / 1e3,
    }


def goals(
    costs: Mapping[tuple[str, str], float],
    recalls: Mapping[str, float],
    loads: Mapping[str, Mapping[str, Paced]],
    text: Mapping[str, float],
) -> list[Goal]:
    """The goals of the HTTP path, in the order of their list."""
    found = []
    for case, share in _SHARES.items():
        if (case, "magpie") in costs:
            measured = costs[case, "ceiling"] / costs[case, "magpie"]
            found.append(Goal(f"{case}, share of the ceiling", measured, share))
        if (case, "magpie") in costs and case in _TIMES_USUAL:
            measured = costs[case, "usual"] / costs[case, "magpie"]
            found.append(Goal(f"{case}, times the usual shape", measured, _TIMES_USUAL[case]))
    found += [Goal(f"{case}, recall@20", recall, 0.95) for case, recall in recalls.items()]
    if text:
        slower = text["single_p50_ms"] / text["encoder_p50_ms"]
        found.append(Goal("text, p50 against the encoder's own", slower, _SAME_TEXT, "at most"))
        together = text["encoder_cpu_ms"] / text["together_cpu_ms"]
        found.append(Goal("text, against one by one, under concurrency", together, _TEXTS_AT_ONCE))
    for case, runs in loads.items():
        tail = runs["steady"].p99_us / runs["steady"].p50_us
        name = f"{case}, p99 / p50 at {_LOAD_SHARE:.0%} of capacity"
        found.append(Goal(name, tail, _TAIL, "at most"))
    return found


def rate_table(contenders: Sequence[Contender]) -> str:
    """What a request costs beside the ceiling, and requests a second by the clock."""
    ceilings = {each.case: each for each in contenders if each.role == "ceiling"}
    rows = [
        [
            each.case,
            each.role,
            f"{each.cost_us:.0f}",
            f"{ceilings[each.case].cost_us / each.cost_us:.3f}" if each.case in ceilings else "",
            f"{each.rate:,.0f}",
            f"{each.rate / ceilings[each.case].rate:.3f}" if each.case in ceilings else "",
        ]
        for each in contenders
    ]
    return table(["case", "server", "CPU µs", "of the ceiling", "requests/s", "of it"], rows)


def load_table(loads: Mapping[str, Mapping[str, Paced]]) -> str:
    """Latencies at 70 % of capacity."""
    rows = [
        [
            case,
            arrivals,
            f"{run.rate:,.0f}",
            *[f"{us / 1e3:.2f}" for us in (run.p50_us, run.p95_us, run.p99_us, run.late_p99_us)],
            str(run.failed),
        ]
        for case, runs in loads.items()
        for arrivals, run in runs.items()
    ]
    heading = ["case", "arrivals", "requests/s", "p50 ms", "p95 ms", "p99 ms", "generator late"]
    return table([*heading, "failed"], rows)


def stage_table(parts: Mapping[str, Mapping[str, float]], contenders: Sequence[Contender]) -> str:
    """Microseconds by stage of a miss; the last lines are what is left for HTTP, and the sum."""
    costs = {each.case: each.cost_us for each in contenders if each.role == "magpie"}
    cases = list(parts)
    rows = [[stage, *[f"{parts[case][stage]:.0f}" for case in cases]] for stage in parts[cases[0]]]
    sums = {case: sum(parts[case].values()) for case in cases}
    rows.append(["HTTP, routing, cache, metrics, loop",
                 *[f"{costs[case] - sums[case]:.0f}" for case in cases]])  # fmt: skip
    rows.append(["whole request", *[f"{costs[case]:.0f}" for case in cases]])
    return table(["µs", *cases], rows)


def main() -> None:
    """Run the cases, print tables and goals, write the figures."""
    options = _parse()
    cases = options.only.split(",") if options.only else list(CASES)
    with ExitStack() as stack:
        fleet = Fleet(stack, options.items)
        contenders = [each for case in cases for each in fleet.contenders(case)]
        measure(contenders, options.rounds, options.seconds)
        loads = paced(contenders, options.pace_seconds)
        readers = [each for each in contenders if each.case == "text"]
        text = text_figures(readers[0]) if readers else {}
        version = catalogue.version_folder(options.items)
        recalls = {
            case: recall_of(fleet.magpie(), version, fleet.bodies[case])
            for case in ("item", "filter")
            if case in cases
        }
        parts = {
            case: stages(version, fleet.bodies[case], SERVER_CORE)
            for case in _STAGED
            if case in cases
        }
    print(f"\n{options.items:,} items, k = 20, attributes returned, one worker on one core\n")
    print(rate_table(contenders))
    print(f"\nat {_LOAD_SHARE:.0%} of capacity, open loop\n\n{load_table(loads)}\n")
    if parts:
        print(stage_table(parts, contenders) + "\n")
    if text:
        print(", ".join(f"{name} {figure:.2f}" for name, figure in text.items()) + "\n")
    costs = {(each.case, each.role): each.cost_us for each in contenders}
    reached = goals(costs, recalls, loads, text)
    for goal in reached:
        print(goal)
    for case in cases:
        ours = [each for each in contenders if each.case == case]
        figures = {
            "items": options.items,
            "cpu_us": {each.role: each.cost_us for each in ours},
            "requests_per_second": {each.role: each.rate for each in ours},
            "at_70_percent": {kind: asdict(run) for kind, run in loads[case].items()},
            "stages_us": parts.get(case, {}),
            "text": text if case == "text" else {},
            "recall_at_20": recalls.get(case),
            "answered_from": {each.role: each.tiers for each in ours if each.tiers},
        }
        write_part(
            _RESULTS, case, figures, [each for each in reached if each.name.startswith(case)]
        )


def _parse() -> argparse.Namespace:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--items", type=int, default=200_000)
    options.add_argument("--only", help=f"cases, with commas between them: {','.join(CASES)}")
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--seconds", type=int, default=2, help="of one run of wrk")
    options.add_argument("--pace-seconds", type=float, default=4.0)
    return options.parse_args()


if __name__ == "__main__":
    main()
