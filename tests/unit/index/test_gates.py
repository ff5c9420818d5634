from collections.abc import Callable
from pathlib import Path

import pytest

from service.index.figures import Figures, Parity
from service.index.gates import Gate, Limits, Measured, judge
from service.index.manifest import Manifest, Recall, read_manifest

WriteVersion = Callable[..., str]
GOOD = Figures(probes=1000, empty=0.0, recall=0.99, duplicates=0.1, hubs=0.02)
ALIKE = Parity(sentinels=256, overlap=0.9)


@pytest.fixture
def manifest(write_version: WriteVersion, indexes: Path) -> Manifest:
    return read_manifest(indexes / "pins" / write_version())


def measured(manifest: Manifest, figures: Figures = GOOD, **changes: object) -> Measured:
    return Measured(manifest.model_copy(update={"items": 1000, **changes}), figures)


def verdicts(gates: tuple[Gate, ...]) -> dict[str, str]:
    return {gate.name: gate.verdict for gate in gates}


def failed(gates: tuple[Gate, ...]) -> set[str]:
    return {gate.name for gate in gates if gate.verdict == "failed"}


def test_version_like_the_one_before_passes_every_gate(manifest: Manifest) -> None:
    gates = judge(measured(manifest), measured(manifest), ALIKE, Limits())
    assert verdicts(gates) == dict.fromkeys(
        [
            "recall@10",
            "recall@10 now",
            "empty lists",
            "items",
            "duplicates",
            "hubs",
            "overlap@10",
        ],
        "passed",
    )


@pytest.mark.parametrize(
    ("figures", "name"),
    [
        (GOOD.model_copy(update={"recall": 0.91}), "recall@10 now"),
        (GOOD.model_copy(update={"empty": 0.011}), "empty lists"),
        (GOOD.model_copy(update={"duplicates": 0.16}), "duplicates"),
        (GOOD.model_copy(update={"hubs": 0.08}), "hubs"),
    ],
)
def test_worse_figure_fails_its_gate_and_no_other(
    manifest: Manifest, figures: Figures, name: str
) -> None:
    gates = judge(measured(manifest, figures), measured(manifest), ALIKE, Limits())
    assert failed(gates) == {name}


@pytest.mark.parametrize(
    ("items", "passes"), [(799, False), (800, True), (1200, True), (1201, False)]
)
def test_number_of_items_may_change_by_a_fifth(
    manifest: Manifest, items: int, passes: bool
) -> None:
    gates = judge(measured(manifest, items=items), measured(manifest), ALIKE, Limits())
    assert ("items" not in failed(gates)) == passes


def test_recall_measured_at_build_has_its_floor(manifest: Manifest) -> None:
    low = measured(manifest, recall=Recall(at_10=0.94, at_100=0.9, queries=512))
    assert failed(judge(low, measured(manifest), ALIKE, Limits())) == {"recall@10"}
    assert failed(judge(low, measured(manifest), ALIKE, Limits(recall=0.9))) == set()


def test_other_neighbours_than_before_fail(manifest: Manifest) -> None:
    unlike = Parity(sentinels=256, overlap=0.3)
    gates = judge(measured(manifest), measured(manifest), unlike, Limits())
    assert failed(gates) == {"overlap@10"}


def test_versions_of_two_models_are_not_expected_to_agree(manifest: Manifest) -> None:
    gates = judge(measured(manifest), measured(manifest), None, Limits())
    assert gates[-1].verdict == "skipped"
    assert gates[-1].note == "another model made the one before"


def test_first_publication_says_that_there_is_nothing_to_compare_with(manifest: Manifest) -> None:
    gates = judge(measured(manifest), None, None, Limits())
    skipped = [gate for gate in gates if gate.verdict == "skipped"]
    assert [gate.name for gate in skipped] == ["items", "duplicates", "hubs", "overlap@10"]
    assert {gate.note for gate in skipped} == {"nothing to compare with: first publication"}
    # What can be said without the other is still said.
    assert skipped[0].figure == 1000


def test_small_versions_are_not_compared(manifest: Manifest) -> None:
    gates = judge(measured(manifest), measured(manifest, items=99), ALIKE, Limits())
    assert "fewer than 100 items before" in gates[-1].note


@pytest.mark.parametrize(
    ("figure", "shown"),
    [(1_000_020.0, "1,000,020"), (0.9537, "0.9537"), (1.0, "1"), (0.0, "0"), (None, "-")],
)
def test_figures_are_shown_as_people_read_them(figure: float | None, shown: str) -> None:
    assert Gate(name="any", figure=figure, limit="", verdict="passed").shown == shown
