import json
from pathlib import Path

import pytest

from benchmarks.million_catalogue import (
    OTHERS,
    TEXT,
    Catalogue,
    Texts,
    item_id,
    row_of,
    write_day,
)
from benchmarks.million_report import goals, stage_table, version_table
from benchmarks.million_stages import Figures

TITLES = tuple((f"title {number}", "photographs") for number in range(300))
DESCRIPTIONS = tuple(f"oil on canvas, after painter {number}" for number in range(100))
Items = dict[object, dict[str, object]]


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return Catalogue.draw(Texts(TITLES, DESCRIPTIONS), 2_000, seed=5)


@pytest.fixture(scope="module")
def days(catalogue: Catalogue) -> tuple[Items, Items]:
    first = {item["id"]: item for item in catalogue.first_day()}
    return first, {item["id"]: item for item in catalogue.second_day()}


def test_no_text_comes_twice(catalogue: Catalogue, days: tuple[Items, Items]) -> None:
    texts = [TEXT.format(**item) for item in (*days[0].values(), *catalogue.others())]
    assert len(texts) == len(set(texts)) == 2_000 + OTHERS


def test_a_day_later_one_in_a_hundred_is_gone_changed_and_new(
    catalogue: Catalogue, days: tuple[Items, Items]
) -> None:
    first, second = days
    assert len(first.keys() - second.keys()) == len(second.keys() - first.keys()) == 20
    both = [(first[name], second[name]) for name in first.keys() & second.keys()]
    changed = [(old, new) for old, new in both if old != new]
    assert len(changed) == 20
    assert all(TEXT.format(**old) != TEXT.format(**new) for old, new in changed)
    assert {row_of(str(name)) for name in first.keys() - second.keys()} == catalogue.gone_rows()
    for row in catalogue.rows_on_both_days(100):
        assert first[item_id(row)] == second[item_id(row)]


def test_others_are_on_no_day(catalogue: Catalogue, days: tuple[Items, Items]) -> None:
    assert not {item["id"] for item in catalogue.others()} & (days[0].keys() | days[1].keys())


def test_a_day_is_written_as_json_lines(catalogue: Catalogue, tmp_path: Path) -> None:
    size = write_day(tmp_path / "day.jsonl", catalogue.first_day())
    lines = (tmp_path / "day.jsonl").read_text(encoding="utf-8").splitlines()
    assert size == (tmp_path / "day.jsonl").stat().st_size
    assert json.loads(lines[7]) == catalogue.item(7, 7)


def test_tables_and_goals_take_what_is_there() -> None:
    swap: Figures = {"rollback_s": 0.9, "failed": 0.0, "ids_of_another_version": 0.0}
    memory: Figures = {"peak_pss_mb": 3_000.0, "one_index_mb": 2_000.0}
    figures: dict[str, Figures] = {"build": {"factory": "Flat", "items": 10.0}}
    figures["swap"] = swap | memory
    assert "Flat" in version_table(figures)
    assert "build" in stage_table(figures)
    reached = goals(figures, 10)
    assert [goal.is_met for goal in reached] == [True] * 4
    assert reached[-1].measured == 1.5
