from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from shutil import rmtree

import numpy as np
import onnxruntime as ort
import pytest

from service.encoders.exports import (
    GRAPH,
    TOKENIZER,
    ExportedFile,
    ExportManifest,
    find_export,
)
from service.encoders.onnx_encoder import OnnxEncoder
from service.encoders.registry import ModelRecord, Pooling
from service.errors import CorruptArtifact, ModelNotFound, ParityFailed
from service.pipelines.agreement import cosines
from service.pipelines.bert_weights import MIX, QUERY, WIDEN, read_bert
from service.pipelines.export_model import export
from service.pipelines.int8_inputs import INPUTS
from service.pipelines.lean_graph import write_lean_graph
from service.pipelines.model_lock import ModelLock, files_digest, measure
from service.pipelines.parity_texts import PARITY_TEXTS
from service.pipelines.quantize_model import LEAN, PLAIN, PLAIN_AFTER_LEAN, Int8Gates, quantize
from service.types import Scores

pytestmark = pytest.mark.export

NOW = datetime(2026, 11, 23, 10, 15, 2, tzinfo=UTC)
# Random weights give neighbours that lie closer together than those of any real model.
LOOSE = Int8Gates(mean_cosine=0.97, overlap_at_10=0.5)

Exported = Callable[[Pooling], tuple[ModelRecord, Path]]


@pytest.fixture
def exported(
    with_pooling: Callable[[str], dict[str, bytes]],
    record_for: Callable[..., ModelRecord],
    place: Callable[[dict[str, bytes], Path], Path],
    tmp_path: Path,
) -> Exported:
    """Pull and export the tiny BERT with random weights; returns its record and its export."""

    def make(pooling: Pooling) -> tuple[ModelRecord, Path]:
        files = with_pooling(pooling)
        record = replace(record_for(files), pooling=pooling)
        locked = measure(place(files, tmp_path / "tiny" / "upstream"))
        ModelLock(
            id=record.id,
            hub_id=record.hub_id,
            revision=record.revision,
            licence=record.licence,
            source="hub",
            files=locked,
            digest=files_digest(locked),
            retrieved_at=NOW.isoformat(),
            tools={},
        ).write(tmp_path / "tiny" / "lock.json")
        return record, export(record, tmp_path, now=NOW)

    return make


def _cosines(left: Path, right: Path) -> Scores:
    ours, theirs = (OnnxEncoder.open(each).encode_items(PARITY_TEXTS) for each in (left, right))
    return cosines(ours, theirs)


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_an_int8_export_lies_beside_the_float32_one_and_names_it(
    exported: Exported, tmp_path: Path, pooling: Pooling
) -> None:
    record, exact = exported(pooling)
    small = quantize(record, tmp_path, now=NOW, gates=LOOSE)
    manifest, original = ExportManifest.read(small), ExportManifest.read(exact)
    manifest.verify(small)
    assert small.parent == exact.parent
    assert (manifest.precision, manifest.recipe) == ("int8", LEAN)
    assert manifest.derived_from == original.identity.digest != manifest.identity.digest
    assert find_export(tmp_path, manifest.model) == small
    assert find_export(tmp_path, "tiny") == exact
    assert manifest.parity.mean_cosine == pytest.approx(_cosines(small, exact).mean(), abs=1e-5)


def test_the_same_weights_and_texts_give_the_same_graph_again(
    exported: Exported, tmp_path: Path
) -> None:
    record, _ = exported("mean")
    first = quantize(record, tmp_path, now=NOW, gates=LOOSE)
    graph = (first / GRAPH).read_bytes()
    rmtree(first)
    again = quantize(record, tmp_path, now=NOW, gates=LOOSE)
    assert again == first
    assert (again / GRAPH).read_bytes() == graph


def test_a_text_has_the_same_int8_vector_alone_and_among_others(
    exported: Exported, tmp_path: Path
) -> None:
    record, _ = exported("mean")
    encoder = OnnxEncoder.open(quantize(record, tmp_path, now=NOW, gates=LOOSE))
    texts = PARITY_TEXTS[::5]
    alone = np.vstack([encoder.encode_items([text]) for text in texts])
    together = encoder.encode_items(texts)
    assert np.einsum("ij,ij->i", alone, together).min() > 0.9999


def test_the_lean_graph_in_float32_gives_the_vectors_of_the_export(
    exported: Exported, tmp_path: Path
) -> None:
    poolings: tuple[Pooling, ...] = ("mean", "cls")
    for pooling in poolings:
        record, exact = exported(pooling)
        config = tmp_path / "tiny" / "upstream" / "config.json"
        weights = read_bert(exact / GRAPH, config, record.pooling)
        assert weights is not None
        lean = tmp_path / f"lean-{pooling}"
        lean.mkdir()
        write_lean_graph(weights, lean / GRAPH)
        (lean / TOKENIZER).write_bytes((exact / TOKENIZER).read_bytes())
        files = {name: ExportedFile.of(lean / name) for name in (GRAPH, TOKENIZER)}
        ExportManifest.read(exact).model_copy(update={"files": files}).write(lean)
        assert _cosines(lean, exact).min() > 0.99999


def test_a_graph_with_ranges_tells_those_of_every_shared_input(
    exported: Exported, tmp_path: Path
) -> None:
    record, exact = exported("mean")
    config = tmp_path / "tiny" / "upstream" / "config.json"
    weights = read_bert(exact / GRAPH, config, record.pooling)
    assert weights is not None
    write_lean_graph(weights, tmp_path / "ranges.onnx", with_ranges=True)
    session = ort.InferenceSession(tmp_path / "ranges.onnx", providers=["CPUExecutionProvider"])
    names = {output.name for output in session.get_outputs()}
    wanted = {f"{end}/{i}/{name}" for end in ("min", "max") for i in (0, 1) for name in INPUTS}
    assert wanted < names
    assert set(INPUTS) == {QUERY, MIX, WIDEN}


def test_a_model_of_another_kind_gets_the_plain_recipe(exported: Exported, tmp_path: Path) -> None:
    record, _ = exported("mean")
    config = tmp_path / "tiny" / "upstream" / "config.json"
    config.write_bytes(config.read_bytes().replace(b'"bert"', b'"roberta"'))
    manifest = ExportManifest.read(quantize(record, tmp_path, now=NOW, gates=LOOSE))
    assert manifest.recipe == PLAIN
    assert PLAIN != PLAIN_AFTER_LEAN


def test_gates_that_no_recipe_reaches_keep_nothing(exported: Exported, tmp_path: Path) -> None:
    record, exact = exported("mean")
    before = {path.name for path in exact.parent.iterdir()}
    with pytest.raises(ParityFailed, match=r"mean cosine .* and mean cosine .* are asked"):
        quantize(record, tmp_path, now=NOW, gates=Int8Gates(mean_cosine=1.1))
    assert {path.name for path in exact.parent.iterdir()} == before


def test_the_id_stands_for_int8_only_where_that_is_asked(
    exported: Exported, tmp_path: Path
) -> None:
    record, exact = exported("mean")
    small = quantize(record, tmp_path, now=NOW, gates=LOOSE, make_current=True)
    assert find_export(tmp_path, "tiny") == small
    # The float32 twin is found again through the int8 export, and gives the same one.
    assert quantize(record, tmp_path, now=NOW, gates=LOOSE) == small
    assert find_export(tmp_path, ExportManifest.read(exact).model) == exact


def test_a_model_that_is_not_exported_is_not_quantised(exported: Exported, tmp_path: Path) -> None:
    record, _ = exported("mean")
    with pytest.raises(ModelNotFound, match="has not been exported"):
        quantize(replace(record, id="other"), tmp_path, now=NOW)


def test_a_damaged_float32_export_is_refused(exported: Exported, tmp_path: Path) -> None:
    record, exact = exported("mean")
    (exact / GRAPH).write_bytes(b"damaged")
    with pytest.raises(CorruptArtifact, match="is not the file that was exported"):
        quantize(record, tmp_path, now=NOW)
