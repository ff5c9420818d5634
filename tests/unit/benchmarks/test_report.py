import json
from pathlib import Path

import pytest

from benchmarks.report import Goal, table, write_json, write_part


@pytest.mark.parametrize(
    ("measured", "asked", "direction", "is_met"),
    [
        (4.5, 4.5, "at least", True),
        (4.49, 4.5, "at least", False),
        (0.5, 0.5, "at most", True),
        (0.51, 0.5, "at most", False),
        (float("nan"), 0.5, "at most", False),
        (float("nan"), 0.5, "at least", False),
    ],
)
def test_a_goal_is_met_at_its_figure_and_never_by_a_nan(
    measured: float, asked: float, direction: str, is_met: bool
) -> None:
    goal = Goal("g", measured, asked, "at least" if direction == "at least" else "at most")
    assert goal.is_met is is_met


def test_a_goal_reads_as_one_line() -> None:
    assert str(Goal("speed", 4.678, 4.5)) == "goal speed: 4.68 (asked ≥ 4.5) met"
    assert str(Goal("memory", 0.7, 0.5, "at most")) == "goal memory: 0.7 (asked ≤ 0.5) missed"


def test_the_columns_of_a_table_line_up() -> None:
    lines = table(["engine", "texts/s"], [["torch", "88"], ["a longer name", "1234"]]).splitlines()
    assert {len(line) for line in lines} == {len(lines[0])}
    assert lines[2].startswith("| torch ")
    assert lines[2].endswith("      88 |")


def test_figures_are_written_with_machine_time_and_goals(tmp_path: Path) -> None:
    path = tmp_path / "docs" / "figures.json"
    write_json(path, {"rounds": 3}, [Goal("g", 2.0, 1.0)], measured_at="2026-11-23T10:15:02+00:00")
    found = json.loads(path.read_text())
    assert found["rounds"] == 3
    assert found["measured_at"].startswith("2026")
    assert found["machine"]["python"]
    assert found["goals"][0]["met"] is True


def test_a_part_leaves_the_others_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    write_part(path, "hit", {"us": 1}, [Goal("hit", 1.0, 0.5)])
    write_part(path, "item", {"us": 2}, [])
    write_part(path, "hit", {"us": 3}, [])
    written = json.loads(path.read_text())
    assert [written[part]["us"] for part in ("hit", "item")] == [3, 2]
    assert written["item"]["measured_at"]
