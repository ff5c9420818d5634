"""What every benchmark prints and writes: a table, a JSON file, a line for each goal."""

import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, slots=True)
class Goal:
    """A figure that was asked for, and the one that was measured."""

    name: str
    measured: float
    asked: float
    direction: Literal["at least", "at most"] = "at least"

    @property
    def is_met(self) -> bool:
        """Whether the measured figure is good enough; a NaN never is."""
        if self.direction == "at least":
            return self.measured >= self.asked
        return self.measured <= self.asked

    def __str__(self) -> str:
        """`goal NAME: FIGURE (asked FIGURE) met|missed`."""
        sign = "≥" if self.direction == "at least" else "≤"
        verdict = "met" if self.is_met else "missed"
        return f"goal {self.name}: {self.measured:.3g} (asked {sign} {self.asked:g}) {verdict}"


def table(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Lay rows out as a Markdown table whose columns line up: the first left, others right."""
    widths = [max(len(row[i]) for row in [heading, *rows]) for i in range(len(heading))]

    def line(cells: Sequence[str]) -> str:
        first, *others = (cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in
                          enumerate(zip(cells, widths, strict=True)))  # fmt: skip
        return "| " + " | ".join([first, *others]) + " |"

    rule = "|" + "|".join("-" * (w + 1) + ("-" if i == 0 else ":") for i, w in enumerate(widths))
    return "\n".join([line(heading), rule + "|", *map(line, rows)])


def machine() -> dict[str, str]:
    """What a figure was measured on."""
    cpu, cores = "unknown", 0
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        lines = cpuinfo.read_text().splitlines()
        names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
        cpu, cores = (names or ["unknown"])[0], len(names)
    return {
        "processor": cpu,
        "cores": str(cores),
        "python": platform.python_version(),
        "system": platform.system(),
    }


def write_json(
    path: Path, figures: Mapping[str, object], goals: Sequence[Goal], *, measured_at: str
) -> None:
    """Write the figures of a run with machine, time and goals."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "measured_at": measured_at,
        "machine": machine(),
        **figures,
        "goals": [asdict(goal) | {"met": goal.is_met} for goal in goals],
    }
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def write_part(path: Path, part: str, figures: Mapping[str, object], goals: Sequence[Goal]) -> None:
    """Write the figures of one part of a benchmark, with machine, time and goals of its own.

    What the file holds of other parts stays, as they may have been measured at other times.
    """
    parts: dict[str, object] = json.loads(path.read_text("utf-8")) if path.exists() else {}
    parts[part] = {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        **figures,
        "goals": [asdict(goal) | {"met": goal.is_met} for goal in goals],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(parts, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
