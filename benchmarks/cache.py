"""What the cache costs and saves: `make bench-cache`.

A trip to Redis beside redis-py, an answer from Redis beside the same answer computed, bytes of an
entry in both tiers, and what a Redis that does not answer costs. One process on core 0, Redis on
core 1; costs are processor time of the process, which other programs cannot take away, medians of
the rounds. The catalogues are those of `make bench-http`.
"""

import argparse
import os
from datetime import UTC, datetime

import uvloop

from benchmarks import http_catalogue as catalogue
from benchmarks import http_servers as servers
from benchmarks.cache_answers import Answers, measure_answers
from benchmarks.cache_faults import measure_faults
from benchmarks.cache_trips import Trips, measure_trips
from benchmarks.report import Goal, table, write_json
from benchmarks.worker import ROOT

_OUT = ROOT / "docs" / "benchmarks" / "cache.json"
_HIT_SHARES = (0.2, 0.5, 0.8)


def main() -> None:
    """Measure everything, print it, and write it down."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=200_000)
    parser.add_argument("--texts", type=int, default=30_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    catalogue.prepare(options.items)
    catalogue.prepare_texts(options.texts)
    os.sched_setaffinity(0, {0})
    with servers.redis("1", catalogue.HOME) as url:
        trips = uvloop.run(measure_trips(url, options.rounds))
        answers = uvloop.run(
            measure_answers(
                url,
                catalogue.name_of(options.items),
                f"texts-{options.texts}",
                options.rounds,
            )
        )
    faults = uvloop.run(measure_faults())
    goals = [
        Goal(
            "processor time of a trip, of redis-py's, at 32 callers",
            trips.ours_us[32] / trips.redis_py_us[32],
            0.5,
            "at most",
        ),
        Goal(
            "a text answer from Redis, of the computed one",
            answers.redis_us["text"] / answers.computed_us["text"],
            0.25,
            "at most",
        ),
        Goal("counted bytes of a local entry, of the measured", answers.counted_share, 1.0),
        Goal("ms that a black hole adds to a lookup, worst", faults.black_hole_ms, 60, "at most"),
        Goal("s until the breaker opens", faults.opens_s, 1, "at most"),
        Goal("ms that an open breaker adds, p99", faults.open_p99_ms, 1, "at most"),
    ]
    _print(trips, answers)
    for goal in goals:
        print(goal)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    figures = {"trips": trips.figures(), "answers": answers.figures(), "faults": faults.figures()}
    write_json(_OUT, figures, goals, measured_at=now)


def _print(trips: Trips, answers: Answers) -> None:
    print("\nA trip to Redis, 2 KB, CPU µs of the process\n")
    rows = [
        [str(callers), f"{ours:.1f}", f"{trips.redis_py_us[callers]:.1f}"]
        for callers, ours in trips.ours_us.items()
    ]
    print(table(["callers at once", "ours", "redis-py"], rows))
    print(f"\nStoring one: {trips.put_us:.1f}\n\nAn answer, CPU µs of the process\n")
    rows = [
        [
            kind,
            f"{computed:.0f}",
            f"{answers.redis_us[kind]:.0f}",
            f"{computed / answers.redis_us[kind]:.1f}",
            f"{answers.body_bytes[kind]:,.0f}",
            f"{answers.local_bytes[kind]:,.0f}",
            f"{answers.server_bytes[kind]:,.0f}",
        ]
        for kind, computed in answers.computed_us.items()
    ]
    head = ["kind", "computed", "from Redis", "ratio", "bytes", "in the process", "in Redis"]
    print(table(head, rows))
    print("\nRedis pays from this cost on, by the share of questions that it has:")
    for share in _HIT_SHARES:
        print(f"  {share:.0%}: {_break_even_us(trips, share) / 1e3:.3f} ms")
    print()


def _break_even_us(trips: Trips, hit_share: float) -> float:
    """The cost from which asking Redis first, and storing what it lacks, saves processor time."""
    read, write = trips.ours_us[8], trips.put_us
    return (read + (1 - hit_share) * write) / hit_share


if __name__ == "__main__":
    main()
