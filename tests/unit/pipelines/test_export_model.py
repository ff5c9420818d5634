import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import onnx
import pytest

from service.encoders.exports import ExportManifest, find_export
from service.encoders.onnx_encoder import OnnxEncoder
from service.encoders.registry import ModelRecord, Pooling, Registry
from service.errors import HashMismatch, ModelNotFound, ModelRejected, ParityFailed
from service.pipelines.export_model import MIN_COSINE, export
from service.pipelines.model_lock import ModelLock, files_digest, measure
from service.pipelines.parity_texts import PARITY_TEXTS
from service.pipelines.pull_model import pull

pytestmark = pytest.mark.export

Files = dict[str, bytes]
Pulled = Callable[..., ModelRecord]

NOW = datetime(2026, 11, 23, 10, 15, 2, tzinfo=UTC)
LATER = datetime(2027, 1, 1, tzinfo=UTC)
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def pulled(
    with_pooling: Callable[[str], Files],
    record_for: Callable[..., ModelRecord],
    place: Callable[[Files, Path], Path],
    tmp_path: Path,
) -> Pulled:
    """Lay the tiny model down as a pull would have left it."""

    def lay_down(pooling: Pooling, change: Callable[[Files], None] | None = None) -> ModelRecord:
        files = with_pooling(pooling)
        if change is not None:
            change(files)
        record = replace(record_for(files), pooling=pooling, query_instruction="find: ")
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
        return record

    return lay_down


def _exports(models: Path) -> set[str]:
    folder = models / "tiny" / "exports"
    return {path.name for path in folder.iterdir()} if folder.exists() else set()


@pytest.mark.parametrize("pooling", ["cls", "mean", "last"])
def test_an_export_agrees_with_sentence_transformers(
    pulled: Pulled, tmp_path: Path, pooling: Pooling
) -> None:
    folder = export(pulled(pooling), tmp_path, now=NOW)
    manifest = ExportManifest.read(folder)
    assert manifest.parity.min_cosine >= MIN_COSINE
    assert manifest.parity.texts == 2 * len(PARITY_TEXTS) >= 128
    assert manifest.pooling == pooling
    assert find_export(tmp_path, manifest.model) == find_export(tmp_path, "tiny") == folder
    assert _exports(tmp_path) == {"CURRENT", folder.name}


def test_the_graph_is_one_file_with_dynamic_shapes(pulled: Pulled, tmp_path: Path) -> None:
    folder = export(pulled("mean"), tmp_path, now=NOW)
    assert {path.name for path in folder.iterdir()} == {
        "model.onnx",
        "tokenizer.json",
        "export.json",
    }
    model = onnx.load(str(folder / "model.onnx"), load_external_data=False)
    onnx.checker.check_model(model, full_check=True)
    shapes = {
        node.name: [dim.dim_param or dim.dim_value for dim in node.type.tensor_type.shape.dim]
        for node in model.graph.input
    }
    names = ("input_ids", "attention_mask", "token_type_ids")
    assert shapes == {name: ["batch", "sequence"] for name in names}
    assert [node.name for node in model.graph.output] == ["embedding"]
    assert model.opset_import[0].version == ExportManifest.read(folder).opset
    assert str(tmp_path).encode() not in (folder / "model.onnx").read_bytes()


def test_batch_encoding_equals_single_encoding(pulled: Pulled, tmp_path: Path) -> None:
    encoder = OnnxEncoder.open(export(pulled("mean"), tmp_path, now=NOW))
    texts = PARITY_TEXTS[::3]
    alone = np.vstack([encoder.encode_items([text]) for text in texts])
    np.testing.assert_allclose(encoder.encode_items(texts), alone, atol=2e-6)


def test_texts_are_lower_cased_where_the_publisher_says_so(pulled: Pulled, tmp_path: Path) -> None:
    def says_lower_case(files: Files) -> None:
        tokenizer = json.loads(files["tokenizer.json"])
        tokenizer["normalizer"]["lowercase"] = False
        files["tokenizer.json"] = json.dumps(tokenizer).encode()
        settings = json.loads(files["tokenizer_config.json"]) | {"do_lower_case": False}
        files["tokenizer_config.json"] = json.dumps(settings).encode()
        files["sentence_bert_config.json"] = b'{"max_seq_length": 48, "do_lower_case": true}'

    encoder = OnnxEncoder.open(export(pulled("mean", says_lower_case), tmp_path, now=NOW))
    capitals, small = encoder.encode_items(["IKEA BEFORE AFTER", "ikea before after"])
    np.testing.assert_array_equal(capitals, small)


def test_a_second_export_of_the_same_files_is_not_made(pulled: Pulled, tmp_path: Path) -> None:
    record = pulled("mean")
    folder = export(record, tmp_path, now=NOW)
    before = (folder / "export.json").stat().st_mtime_ns
    assert export(record, tmp_path, now=LATER) == folder
    assert (folder / "export.json").stat().st_mtime_ns == before


def test_another_export_of_the_same_files_has_the_same_digest(
    pulled: Pulled, tmp_path: Path
) -> None:
    record = pulled("mean")
    folder = export(record, tmp_path, now=NOW)
    (folder.parent / "CURRENT").unlink()
    assert export(record, tmp_path, now=LATER) == folder
    assert ExportManifest.read(folder).created_at == LATER.isoformat()


def test_a_damaged_export_is_made_again(pulled: Pulled, tmp_path: Path) -> None:
    record = pulled("mean")
    folder = export(record, tmp_path, now=NOW)
    (folder / "model.onnx").write_bytes(b"damaged")
    assert export(record, tmp_path, now=LATER) == folder
    ExportManifest.read(folder).verify(folder)


def test_another_instruction_is_another_export(pulled: Pulled, tmp_path: Path) -> None:
    record = pulled("mean")
    first = export(record, tmp_path, now=NOW)
    second = export(replace(record, query_instruction="seek: "), tmp_path, now=NOW)
    assert first != second
    assert find_export(tmp_path, "tiny") == second
    assert find_export(tmp_path, ExportManifest.read(first).model) == first


def test_a_wrong_pooling_fails_parity_and_leaves_nothing(pulled: Pulled, tmp_path: Path) -> None:
    record = replace(pulled("mean"), pooling="cls")
    with pytest.raises(ParityFailed, match="Check pooling"):
        export(record, tmp_path, now=NOW)
    assert _exports(tmp_path) == set()


def test_a_failed_export_leaves_the_current_one_in_place(pulled: Pulled, tmp_path: Path) -> None:
    record = pulled("mean")
    folder = export(record, tmp_path, now=NOW)
    with pytest.raises(ParityFailed):
        export(replace(record, max_tokens=8), tmp_path, now=NOW, min_cosine=1.1)
    assert find_export(tmp_path, "tiny") == folder
    assert _exports(tmp_path) == {"CURRENT", folder.name}


def test_nothing_is_opened_that_is_not_the_locked_file(pulled: Pulled, tmp_path: Path) -> None:
    record = pulled("mean")
    with (tmp_path / "tiny" / "upstream" / "vocab.txt").open("a") as file:
        file.write("extra\n")
    with pytest.raises(HashMismatch, match=r"vocab\.txt"):
        export(record, tmp_path, now=NOW)


def test_code_beside_the_weights_is_refused_again(pulled: Pulled, tmp_path: Path) -> None:
    record = pulled("mean")
    (tmp_path / "tiny" / "upstream" / "modeling_tiny.py").write_text("raise SystemExit")
    with pytest.raises(ModelRejected, match=r"modeling_tiny\.py"):
        export(record, tmp_path, now=NOW)


def test_a_model_that_was_not_pulled_says_how(
    tiny_bert: Files, record_for: Callable[..., ModelRecord], tmp_path: Path
) -> None:
    with pytest.raises(ModelNotFound, match="magpie model pull tiny"):
        export(record_for(tiny_bert), tmp_path, now=NOW)


def test_the_terminal_stays_quiet(
    pulled: Pulled, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    export(pulled("mean"), tmp_path, now=NOW)
    assert capfd.readouterr() == ("", "")


def test_the_stand_in_gives_its_golden_numbers(tmp_path: Path) -> None:
    registry = Registry.load(ROOT / "models" / "registry.toml")
    record = registry.get(registry.fallback)
    shutil.copytree(ROOT / "models" / record.id, tmp_path / record.id, ignore=_ignore_artefacts)
    pull(record, tmp_path, endpoint=None, now=NOW)
    encoder = OnnxEncoder.open(export(record, tmp_path, now=NOW))
    text = "Small balcony herb garden with basil, thyme and mint in terracotta pots"
    # By sentence-transformers 6.2.0 on the same files.
    golden = [0.00293, 0.05615, -0.00426, -0.05156, 0.00505]
    np.testing.assert_allclose(encoder.encode_items([text])[0, :5], golden, atol=2e-5)
    near, far = encoder.encode_items(["growing herbs on a balcony", "restoring an old bicycle"])
    query = encoder.encode_queries([text])[0]
    assert query @ near > 0.6 > 0.3 > query @ far


def _ignore_artefacts(_folder: str, names: list[str]) -> set[str]:
    return {name for name in names if name in {"upstream", "exports", ".busy.tmp"}}
