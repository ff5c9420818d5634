from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree

from service.index.layout import catalogue_folder
from service.index.manifest import read_manifest
from service.index.snapshot import open_snapshot
from service.index.trials import Wish
from service.pipelines.build_index import build
from service.pipelines.quickstart import SAMPLE_COLUMNS


def test_tuned_build_serves_its_choice_and_shows_the_frontier(
    tmp_path: Path, pins_path: Path, toy_models: Path
) -> None:
    report = build(
        pins_path,
        SAMPLE_COLUMNS,
        name="pins",
        models=toy_models,
        indexes=tmp_path,
        model_id="toy",
        now=datetime(2026, 11, 1, 12, 0, tzinfo=UTC),
        wish=Wish(0.9),
    )
    folder = catalogue_folder(tmp_path, "pins")
    manifest = read_manifest(folder / report.version)
    assert min(manifest.recall.at_10, manifest.recall.at_100) >= 0.9
    snapshot = open_snapshot(folder / report.version)
    rows, _ = snapshot.retriever.search(snapshot.vectors[:3], 5)
    assert (rows[:, 0] >= 0).all()
    table = (folder / "reports" / f"{report.version}.tuning.md").read_text(encoding="utf-8")
    assert table.count("chosen") == 1
    ElementTree.parse(folder / "reports" / f"{report.version}.tuning.svg")
