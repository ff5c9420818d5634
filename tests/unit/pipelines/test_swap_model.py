from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from service.encoders.exports import ExportManifest, find_export
from service.encoders.onnx_encoder import OnnxEncoder
from service.errors import InvalidInput, ModelNotFound, VersionNotFound
from service.index.layout import version_folder
from service.index.live import Live
from service.index.publish import current_version, publish, rollback, verify, versions
from service.index.snapshot import Snapshot, open_snapshot
from service.pipelines.query_file import SampleQuery, read_queries
from service.pipelines.swap_comparison import quality_gates
from service.pipelines.swap_model import SwapReport, prepare_swap
from tests.conftest import TOY_DIM, build_pins, write_toy_model

NOW = datetime(2026, 11, 23, 10, 15, 2, tzinfo=UTC)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory, pins_path: Path) -> Path:
    """Two models of one dimension that know the same words and mean different things by them."""
    folder = tmp_path_factory.mktemp("two-models")
    texts = pins_path.read_text(encoding="utf-8").splitlines()
    write_toy_model(folder, texts)
    write_toy_model(folder, texts, name="toy2", seed=8)
    return folder


@pytest.fixture
def indexes(tmp_path: Path, models: Path, pins_path: Path) -> Path:
    """A published version of forty pins, made with `toy`."""
    source = tmp_path / "pins.jsonl"
    source.write_text("\n".join(pins_path.read_text(encoding="utf-8").splitlines()[:40]))
    build_pins(source, models, tmp_path / "indexes", now=NOW - timedelta(hours=1))
    return tmp_path / "indexes"


def swap(indexes: Path, models: Path, **more: Any) -> SwapReport:
    return prepare_swap("pins", "toy2", models=models, indexes=indexes, now=NOW, **more)


def opened(indexes: Path, version: str) -> Snapshot:
    return open_snapshot(version_folder(indexes, "pins", version))


def encoder_of(models: Path, name: str) -> OnnxEncoder:
    return OnnxEncoder.open(find_export(models, name))


def test_the_second_index_holds_the_same_items_in_vectors_of_the_new_model(
    indexes: Path, models: Path
) -> None:
    before = current_version(indexes, "pins")
    report = swap(indexes, models)
    old, new = opened(indexes, before), opened(indexes, report.difference.new.version)
    rows = range(len(old.table))
    assert [new.table.item(row) for row in rows] == [old.table.item(row) for row in rows]
    expected = encoder_of(models, "toy2").encode_items([old.table.text(row) for row in rows])
    np.testing.assert_allclose(new.vectors, expected, atol=1e-6)
    assert old.vectors.shape == new.vectors.shape
    made = encoder_of(models, "toy2").manifest
    assert (new.manifest.model, new.manifest.model_lock) == (made.model, made.upstream_digest)
    for field in ("source_name", "source_sha256", "template_pattern", "template_sha256", "rejects"):
        assert getattr(new.manifest, field) == getattr(old.manifest, field)


def test_nothing_is_switched_until_it_is_published_and_a_rollback_goes_back(
    indexes: Path, models: Path
) -> None:
    before = current_version(indexes, "pins")
    after = swap(indexes, models).difference.new.version
    assert current_version(indexes, "pins") == before
    publish(indexes, "pins", after, now=NOW)
    assert current_version(indexes, "pins") == after
    assert rollback(indexes, "pins", now=NOW).after == before


def test_a_live_service_never_pairs_one_models_vectors_with_the_other_model(
    indexes: Path, models: Path
) -> None:
    live = Live(indexes, "pins", lambda wanted: OnnxEncoder.open(find_export(models, wanted)))
    first = live.current
    after = swap(indexes, models).difference.new.version
    assert not live.refresh()
    publish(indexes, "pins", after, now=NOW)
    assert live.refresh()
    for serving, name in ((first, "toy"), (live.current, "toy2")):
        assert serving.encoder.identity == serving.snapshot.manifest.model
        assert serving.encoder.identity.id == name
        assert serving.encoder.dim == TOY_DIM


def test_the_report_holds_both_sides_and_lies_beside_the_version(
    indexes: Path, models: Path
) -> None:
    report = swap(indexes, models, queries=[SampleQuery("sourdough bread")])
    difference = report.difference
    assert (difference.old.model, difference.new.model) == ("toy@0000000", "toy2@0000000")
    assert difference.old.digest != difference.new.digest
    assert difference.items_compared == 40
    assert 0 < difference.overlap_of_items < 1
    assert difference.queries_compared == 1
    assert difference.quality is None
    assert quality_gates(difference) == ()
    assert difference.old.ndcg_at_10 is None
    for side, name in ((difference.old, "toy"), (difference.new, "toy2")):
        files = ExportManifest.read(find_export(models, name)).files
        assert side.model_bytes == sum(file.size_bytes for file in files.values())
        assert side.index_bytes > 40 * TOY_DIM * 4
        assert side.texts_per_second > 0
        assert side.query_ms > 0
    written = orjson.loads(report.report_path.read_bytes())
    assert report.report_path.name == f"{difference.new.version}.swap.json"
    assert written["difference"]["new"]["version"] == difference.new.version
    verify(indexes, "pins", difference.new.version)
    assert len(versions(indexes, "pins")) == 2


def test_quality_is_compared_where_labels_exist(indexes: Path, models: Path) -> None:
    old = opened(indexes, current_version(indexes, "pins"))
    # The text of an item finds that item, whatever the model; an id nobody knows is no label.
    queries = [SampleQuery(old.table.text(row), frozenset({old.table.id(row)})) for row in (3, 9)]
    queries.append(SampleQuery("unlabelled"))
    queries.append(SampleQuery("gone", frozenset({"no-such-pin"})))
    difference = swap(indexes, models, queries=queries).difference
    assert difference.old.ndcg_at_10 == difference.new.ndcg_at_10 == 1.0
    assert difference.quality is not None
    assert difference.quality.queries == 2
    assert difference.quality.change == 0.0
    assert [gate.verdict for gate in quality_gates(difference)] == ["passed"]
    assert difference.queries_compared == 4


def test_a_model_that_ranks_the_answer_lower_is_seen_to_lose(indexes: Path, models: Path) -> None:
    old = opened(indexes, current_version(indexes, "pins"))
    found, _ = old.retriever.search(encoder_of(models, "toy").encode_queries(["wood and light"]), 1)
    best = old.table.id(int(found[0, 0]))
    queries = [SampleQuery("wood and light", frozenset({best}))]
    difference = swap(indexes, models, queries=queries).difference
    assert difference.old.ndcg_at_10 == 1.0
    assert difference.quality is not None
    assert difference.quality.change < 0
    assert difference.quality.change_high < 0
    assert [gate.verdict for gate in quality_gates(difference)] == ["failed"]


def test_speeds_are_medians_of_turns_and_need_no_real_clock(indexes: Path, models: Path) -> None:
    ticks = iter(range(1_000_000))
    difference = swap(indexes, models, clock=lambda: float(next(ticks))).difference
    # Every run takes one tick: the median block of 32 and 8 texts holds 20.
    assert difference.old.texts_per_second == difference.new.texts_per_second == 20.0
    assert difference.old.query_ms == difference.new.query_ms == 1000.0


def test_the_model_that_is_served_already_is_refused(indexes: Path, models: Path) -> None:
    with pytest.raises(InvalidInput, match="already"):
        prepare_swap("pins", "toy", models=models, indexes=indexes, now=NOW)


def test_a_model_that_is_not_here_builds_nothing(indexes: Path, models: Path) -> None:
    with pytest.raises(ModelNotFound):
        prepare_swap("pins", "bge-none", models=models, indexes=indexes, now=NOW)
    assert len(versions(indexes, "pins")) == 1


def test_a_catalogue_without_a_published_version_cannot_be_swapped(
    tmp_path: Path, models: Path
) -> None:
    with pytest.raises(VersionNotFound):
        prepare_swap("pins", "toy2", models=models, indexes=tmp_path, now=NOW)


def test_progress_names_every_stage(indexes: Path, models: Path) -> None:
    told: list[str] = []
    swap(indexes, models, progress=lambda stage, done, total: told.append(stage))
    assert list(dict.fromkeys(told)) == ["encode", "gather", "index", "write", "compare"]


def test_a_model_that_made_an_earlier_version_encodes_nothing_twice(
    indexes: Path, models: Path
) -> None:
    first = swap(indexes, models).difference.new.version
    told: list[tuple[str, int, int | None]] = []
    again = prepare_swap(
        "pins", "toy2", models=models, indexes=indexes, now=NOW + timedelta(seconds=1),
        progress=lambda *report: told.append(report),
    ).difference.new.version  # fmt: skip
    assert [report for report in told if report[0] == "encode"] == [("encode", 0, 0)]
    np.testing.assert_array_equal(opened(indexes, again).vectors, opened(indexes, first).vectors)


@pytest.fixture
def queries_file(tmp_path: Path) -> Callable[[str, str], Path]:
    def write(name: str, content: str) -> Path:
        path = tmp_path / name
        path.write_text(content, encoding="utf-8")
        return path

    return write


def test_queries_are_read_with_and_without_labels(
    queries_file: Callable[[str, str], Path],
) -> None:
    path = queries_file("q.jsonl", '{"query": "红烧肉", "relevant": ["a", 7]}\n\n{"query": "b"}\n')
    assert read_queries(path) == (SampleQuery("红烧肉", frozenset({"a", "7"})), SampleQuery("b"))


def test_plain_queries_are_one_a_line(queries_file: Callable[[str, str], Path]) -> None:
    path = queries_file("q.txt", "# popular first\nherb garden\n\n 红烧肉 \n")
    assert read_queries(path) == (SampleQuery("herb garden"), SampleQuery("红烧肉"))


@pytest.mark.parametrize(
    "line",
    ["{", "[]", "1", "null", '{"text": "a"}', '{"query": ""}', '{"query": "a", "relevant": "b"}'],
)
def test_a_line_that_is_no_query_is_named(
    queries_file: Callable[[str, str], Path], line: str
) -> None:
    with pytest.raises(InvalidInput, match="line 2"):
        read_queries(queries_file("q.jsonl", '{"query": "a"}\n' + line))


def test_a_file_without_queries_is_refused(queries_file: Callable[[str, str], Path]) -> None:
    with pytest.raises(InvalidInput, match="no query"):
        read_queries(queries_file("q.txt", "# nothing\n"))
    with pytest.raises(InvalidInput, match="cannot be read"):
        read_queries(Path("/nonexistent/q.txt"))
