from pathlib import Path

import pytest

from loadtests.measurement import Failure, Measurement, ScenarioFigures, percentile


def test_percentile_is_the_nearest_rank() -> None:
    histogram = {float(value): 1 for value in range(1, 101)}

    assert percentile(histogram, 0.50) == 50
    assert percentile(histogram, 0.99) == 99
    assert percentile(histogram, 1.0) == 100


def test_percentile_counts_how_often_a_value_was_seen() -> None:
    assert percentile({1.0: 98, 500.0: 2}, 0.98) == 1
    assert percentile({1.0: 98, 500.0: 2}, 0.99) == 500


def test_percentile_of_nothing_is_zero() -> None:
    assert percentile({}, 0.5) == 0


def test_measurement_survives_being_stored(tmp_path: Path) -> None:
    measured = Measurement(
        seconds=2.5,
        generator_cpu=0.25,
        scenarios=(
            ScenarioFigures(
                "search", 9, 1, 3.0, 2.0, 5.0, 7.5, 8.0, 4, 9, {"total": 20.0}, {"miss": 9}
            ),
        ),
        failures=(Failure("search", "status 500, expected 200", 1),),
        exceptions=("KeyError",),
        indexes=("pins@1",),
        degraded={"fewer_than_k": 2},
    )

    measured.write(tmp_path / "measurement.json")

    assert Measurement.read(tmp_path / "measurement.json") == measured


@pytest.mark.parametrize("text", ["", "{}", '{"seconds": "x"}', "[]"])
def test_another_form_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "measurement.json").write_text(text)

    with pytest.raises(ValueError, match="validation"):
        Measurement.read(tmp_path / "measurement.json")
