import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import onnx
import orjson
import pytest
from onnx import numpy_helper

from service.catalogue.column_map import ColumnMap
from service.catalogue.text import TextTemplate
from service.encoders.exports import (
    GRAPH,
    ExportedFile,
    ExportManifest,
    Precision,
    export_digest,
    export_folder,
    find_export,
    set_current,
)
from service.encoders.registry import ModelRecord
from service.errors import (
    CorruptArtifact,
    InvalidCatalogue,
    InvalidSettings,
    ModelNotFound,
    ParityFailed,
)
from service.index.manifest import read_manifest
from service.pipelines.build_index import build
from service.pipelines.check_model import check, lock_golden
from service.pipelines.check_report import CheckReport, read_report, report_path, require_checked
from service.pipelines.check_sample import Sample, house_sample, own_sample
from service.pipelines.golden_vectors import GOLDEN, GoldenVectors
from service.pipelines.parity_texts import PARITY_TEXTS

NOW = datetime(2026, 11, 23, 10, 15, 2, tzinfo=UTC)
COLUMNS = ColumnMap(id="id", text=TextTemplate("{title}"))
PINS = ColumnMap(id="id", text=TextTemplate("{title}. {description}"))

Changed = Callable[..., Path]


@pytest.fixture
def record(record_for: Callable[..., ModelRecord]) -> ModelRecord:
    return replace(record_for({}), id="toy", revision=f"{7:040x}", dim=48, max_tokens=256)


@pytest.fixture
def models(toy_models: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "models"
    shutil.copytree(toy_models, copy)
    return copy


@pytest.fixture
def export(models: Path) -> Path:
    return find_export(models, "toy")


@pytest.fixture
def changed(models: Path, export: Path) -> Changed:
    """Export the toy model again with noise in its words, as if it were stored in 8 bits."""

    def make(noise: float, precision: Precision = "int8") -> Path:
        staging = models / "staging"
        shutil.copytree(export, staging)
        model = onnx.load(str(staging / GRAPH))
        table = numpy_helper.to_array(model.graph.initializer[0])
        shaken = table + noise * np.random.default_rng(1).standard_normal(table.shape)
        model.graph.initializer[0].CopyFrom(
            numpy_helper.from_array(shaken.astype(np.float32), model.graph.initializer[0].name)
        )
        onnx.save(model, str(staging / GRAPH))
        manifest = ExportManifest.read(export)
        files = {name: ExportedFile.of(staging / name) for name in manifest.files}
        digest = export_digest(files, max_tokens=256, query_instruction="", item_instruction="")
        manifest = manifest.model_copy(
            update={
                "files": files,
                "precision": precision,
                "derived_from": manifest.identity.digest if precision == "int8" else None,
                "identity": manifest.identity.model_copy(update={"digest": digest}),
            }
        )
        manifest.write(staging)
        folder = export_folder(models, manifest.model)
        staging.rename(folder)
        return folder

    return make


@pytest.fixture
def sample(pins_path: Path) -> Sample:
    return house_sample(pins_path, PINS)


def _gates(report: CheckReport) -> dict[str, bool]:
    return {gate.name: gate.passed for gate in report.gates}


def test_an_export_with_nothing_to_compare_it_with_is_unproven(
    record: ModelRecord, export: Path, sample: Sample
) -> None:
    assert require_checked(export) == "unchecked"
    report = check(record, export, sample, now=NOW)
    assert report.verdict == "unproven"
    assert any("weights are not here" in note for note in report.notes)
    assert any("--lock-golden" in note for note in report.notes)
    assert read_report(export) == report
    assert require_checked(export) == "unproven"


def test_golden_vectors_once_locked_prove_the_same_export(
    record: ModelRecord, export: Path, sample: Sample
) -> None:
    path = lock_golden(record, export, now=NOW)
    golden = GoldenVectors.read(path)
    assert golden is not None
    assert len(golden.texts) >= 64
    assert all(text.norm == pytest.approx(1, abs=1e-5) for text in golden.texts)
    report = check(record, export, sample, now=NOW)
    assert report.verdict == "passed"
    assert report.golden is not None
    assert report.golden.max_error < 1e-5
    assert require_checked(export) == "passed"


def test_golden_vectors_are_not_locked_twice(record: ModelRecord, export: Path) -> None:
    before = lock_golden(record, export, now=NOW).read_bytes()
    with pytest.raises(InvalidSettings, match="golden vectors stay"):
        lock_golden(record, export, now=NOW)
    assert (export.parent.parent / GOLDEN).read_bytes() == before


def test_another_float32_graph_of_the_model_misses_the_golden_vectors(
    record: ModelRecord, export: Path, changed: Changed, sample: Sample
) -> None:
    lock_golden(record, export, now=NOW)
    other = changed(0.05, "float32")
    report = check(record, other, sample, now=NOW)
    assert report.verdict == "failed"
    assert [gate.name for gate in report.failed] == ["distance from golden vectors"]
    with pytest.raises(ParityFailed, match="distance from golden vectors"):
        require_checked(other)
    assert require_checked(other, force=True) == "failed, forced"


def test_golden_vectors_of_another_revision_are_left_out(
    record: ModelRecord, export: Path, sample: Sample
) -> None:
    path = lock_golden(record, export, now=NOW)
    path.write_bytes(path.read_bytes().replace(record.revision.encode(), b"f" * 40))
    report = check(record, export, sample, now=NOW)
    assert report.golden is None
    assert any("another revision" in note for note in report.notes)


def test_damaged_golden_vectors_are_named(
    record: ModelRecord, export: Path, sample: Sample
) -> None:
    path = lock_golden(record, export, now=NOW)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(CorruptArtifact, match=r"golden\.json"):
        check(record, export, sample, now=NOW)


def test_little_noise_in_8_bits_passes_every_gate(
    record: ModelRecord, changed: Changed, sample: Sample
) -> None:
    report = check(record, changed(0.002), sample, now=NOW)
    assert report.verdict == "passed"
    first = report.comparisons[0]
    assert (first.left, first.right, first.texts) == ("float32", "int8", len(sample.texts))
    assert sum(first.cosine.counts) == sum(first.shared) == first.texts
    assert first.worst[0].cosine == pytest.approx(first.cosine.min)


def test_much_noise_in_8_bits_fails_by_name_and_is_refused(
    record: ModelRecord, changed: Changed, sample: Sample
) -> None:
    noisy = changed(0.5)
    report = check(record, noisy, sample, now=NOW)
    assert report.verdict == "failed"
    gates = _gates(report)
    assert not gates["mean cosine float32 ↔ int8"]
    assert not gates["overlap@10 float32 ↔ int8"]
    with pytest.raises(ParityFailed, match=r"toy in int8 failed its check: .*overlap@10") as raised:
        require_checked(noisy)
    assert "--force" in raised.value.hint


def test_an_index_is_not_built_with_a_failed_export_unless_forced_which_its_manifest_says(
    record: ModelRecord, models: Path, changed: Changed, sample: Sample, tmp_path: Path
) -> None:
    noisy = changed(0.5)
    check(record, noisy, sample, now=NOW)
    set_current(noisy)
    items = tmp_path / "items.csv"
    items.write_text("id,title\n1,oak shelf\n2,steel shelf\n")
    indexes = tmp_path / "indexes"

    def build_it(*, force: bool) -> str:
        return build(
            items,
            COLUMNS,
            name="shelves",
            models=models,
            indexes=indexes,
            model_id="toy",
            force=force,
            now=NOW,
        ).version

    with pytest.raises(ParityFailed, match="failed its check"):
        build_it(force=False)
    manifest = read_manifest(indexes / "shelves" / build_it(force=True))
    assert manifest.model_check == "failed, forced"


def test_8_bits_without_the_float32_export_say_what_is_missing(
    record: ModelRecord, export: Path, changed: Changed, sample: Sample
) -> None:
    lonely = changed(0.002)
    shutil.rmtree(export)
    with pytest.raises(ModelNotFound, match="magpie model export"):
        check(record, lonely, sample, now=NOW)


def test_a_changed_export_is_not_covered_by_the_report_of_the_old_one(
    record: ModelRecord, export: Path, sample: Sample
) -> None:
    report = check(record, export, sample, now=NOW)
    other = report.model.model_copy(update={"digest": "0" * 64})
    report.model_copy(update={"model": other}).write(report_path(export))
    assert require_checked(export) == "unchecked"


def test_a_damaged_report_is_no_permission(
    record: ModelRecord, export: Path, sample: Sample
) -> None:
    check(record, export, sample, now=NOW)
    report_path(export).write_text("{}")
    with pytest.raises(CorruptArtifact, match="check the model again"):
        require_checked(export)


@pytest.fixture
def labelled(tmp_path: Path) -> tuple[Path, Path]:
    titles = [f"{a} {b}" for a in ("garden", "kitchen", "bicycle") for b in "abcdefgh"]
    items = [{"id": f"i{n}", "title": title} for n, title in enumerate(titles)]
    queries = [{"query": t, "relevant": [f"i{n}"]} for n, t in enumerate(titles)]
    queries += [{"query": "unlabelled"}, {"query": "elsewhere", "relevant": ["nowhere"]}]
    paths = tmp_path / "items.jsonl", tmp_path / "queries.jsonl"
    paths[0].write_bytes(b"\n".join(orjson.dumps(item) for item in items))
    paths[1].write_bytes(b"\n".join(orjson.dumps(query) for query in queries))
    return paths


def test_labels_give_a_ranking_loss_with_an_interval_and_a_gate(
    record: ModelRecord, changed: Changed, labelled: tuple[Path, Path]
) -> None:
    items, queries = labelled
    sample = own_sample(items, COLUMNS, queries=queries)
    report = check(record, changed(0.8), sample, now=NOW)
    (loss,) = report.ranking
    assert (loss.left, loss.right, loss.queries, loss.items) == ("float32", "int8", 24, 24)
    assert loss.ndcg_left == pytest.approx(1.0)
    assert loss.loss_low <= loss.loss <= loss.loss_high
    assert loss.loss == pytest.approx(1 - loss.ndcg_right / loss.ndcg_left)
    assert _gates(report)["NDCG@10 loss float32 ↔ int8"] == (loss.loss <= 0.005)


def test_items_that_answer_queries_are_drawn_first(labelled: tuple[Path, Path]) -> None:
    items, queries = labelled
    queries.write_bytes(orjson.dumps({"query": "q", "relevant": ["i23", "i2"]}))
    sample = own_sample(items, COLUMNS, limit=5, queries=queries)
    assert len(sample.texts) == 5
    assert sample.labels is not None
    (relevant,) = sample.labels.relevant
    assert {sample.texts[row] for row in relevant} == {"bicycle h", "garden c"}


def test_queries_that_share_no_id_with_the_catalogue_are_refused(
    labelled: tuple[Path, Path],
) -> None:
    items, queries = labelled
    queries.write_bytes(orjson.dumps({"query": "q", "relevant": ["x"]}))
    with pytest.raises(InvalidCatalogue, match="Compare the ids"):
        own_sample(items, COLUMNS, queries=queries)


def test_items_with_one_text_count_once_and_answer_together(tmp_path: Path) -> None:
    items, queries = tmp_path / "items.csv", tmp_path / "queries.jsonl"
    items.write_text("id,title\n1,oak shelf\n2,oak shelf\n3,other\n")
    queries.write_bytes(orjson.dumps({"query": "shelf", "relevant": ["2", "1"]}))
    sample = own_sample(items, COLUMNS, queries=queries)
    assert sorted(sample.texts) == ["oak shelf", "other"]
    assert sample.labels is not None
    assert [len(rows) for rows in sample.labels.relevant] == [1]


def test_the_house_sample_stands_without_the_pins(tmp_path: Path) -> None:
    assert house_sample(tmp_path / "absent.jsonl", COLUMNS).texts == PARITY_TEXTS


def test_the_page_is_whole_loads_nothing_and_runs_nothing(
    record: ModelRecord, changed: Changed, tmp_path: Path
) -> None:
    items = tmp_path / "items.jsonl"
    titles = ["<script>alert(1)</script>", "oak shelf", "steel shelf"]
    rows = [{"id": str(n), "title": title} for n, title in enumerate(titles)]
    items.write_bytes(b"\n".join(orjson.dumps(row) for row in rows))
    folder = changed(0.8)
    report = check(record, folder, own_sample(items, COLUMNS), now=NOW)
    html = report_path(folder).with_suffix(".html").read_text(encoding="utf-8")
    assert "&lt;script&gt;alert(1)" in html
    assert "<script" not in html
    assert "http" not in html
    assert html.count("<svg") == 2
    assert all(gate.name in html for gate in report.gates)
    assert "Failed: at least one gate was not met" in html
