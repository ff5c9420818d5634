"""A tiny but real model, and a real index of the sample pins made with it, for every suite."""

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from service.encoders.exports import (
    GRAPH,
    TOKENIZER,
    ExportedFile,
    ExportManifest,
    Identity,
    Parity,
    export_digest,
    export_folder,
    set_current,
)
from service.index.publish import publish
from service.pipelines.build_index import build
from service.pipelines.quickstart import SAMPLE_COLUMNS
from service.types import ModelIdentity

REPOSITORY = Path(__file__).resolve().parents[1]
TOY_DIM = 48


def write_toy_model(folder: Path, texts: Iterable[str], name: str = "toy", seed: int = 7) -> Path:
    """Export a bag-of-words encoder: a random vector a word, their mean, made a unit vector.

    It is a real tokenizer and a real ONNX graph in a real export folder, so that everything
    above it is tested as it will run; texts that share words are similar, others are not.
    """
    words = sorted({word for text in texts for word in re.findall(r"\w", text.lower())})
    words += sorted({w for text in texts for w in re.findall(r"[a-z0-9]{2,}", text.lower())})
    vocabulary = {
        word: index for index, word in enumerate(["[UNK]", "[CLS]", *dict.fromkeys(words)])
    }
    staging = folder / "staging"
    staging.mkdir(parents=True)
    _write_tokenizer(staging / TOKENIZER, vocabulary)
    _write_graph(staging / GRAPH, len(vocabulary), seed)
    files = {each: ExportedFile.of(staging / each) for each in (GRAPH, TOKENIZER)}
    digest = export_digest(files, max_tokens=256, query_instruction="", item_instruction="")
    identity = ModelIdentity(name, f"{seed:040x}", digest)
    ExportManifest(
        identity=Identity(id=name, revision=identity.revision, digest=digest),
        dim=TOY_DIM,
        max_tokens=256,
        pooling="mean",
        normalize=True,
        query_instruction="",
        item_instruction="",
        stand_in=True,
        note="toy model of the test suite",
        licence="Apache-2.0",
        opset=17,
        parity=Parity(min_cosine=1.0, mean_cosine=1.0, texts=1),
        files=files,
        upstream_digest="0" * 64,
        created_at=datetime(2026, 1, 1, tzinfo=UTC).isoformat(),
        tools={},
    ).write(staging)
    export = export_folder(folder, identity)
    export.parent.mkdir(parents=True)
    staging.rename(export)
    set_current(export)
    return export


def _write_tokenizer(path: Path, vocabulary: dict[str, int]) -> None:
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A", pair="[CLS] $A $B", special_tokens=[("[CLS]", 1)]
    )
    tokenizer.save(str(path))


def _write_graph(path: Path, words: int, seed: int) -> None:
    table = np.random.default_rng(seed).standard_normal((words, TOY_DIM)).astype(np.float32)
    table[:2] *= 0.01  # next to nothing, so that an unknown or empty text is still a vector
    node = helper.make_node
    graph = helper.make_graph(
        [
            node("Gather", ["table", "input_ids"], ["words"]),
            node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
            node("Unsqueeze", ["mask", "last"], ["mask3"]),
            node("Mul", ["words", "mask3"], ["kept"]),
            node("ReduceSum", ["kept", "second"], ["sum"], keepdims=0),
            node("LpNormalization", ["sum"], ["embedding"], axis=-1, p=2),
        ],
        "toy",
        [
            helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["b", "s"]),
            helper.make_tensor_value_info("attention_mask", TensorProto.INT64, ["b", "s"]),
        ],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["b", TOY_DIM])],
        [
            numpy_helper.from_array(table, "table"),
            numpy_helper.from_array(np.array([-1], dtype=np.int64), "last"),
            numpy_helper.from_array(np.array([1], dtype=np.int64), "second"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.save(model, str(path))


@pytest.fixture(scope="session")
def pins_path() -> Path:
    return REPOSITORY / "examples" / "pins" / "pins.jsonl"


@pytest.fixture(scope="session")
def toy_models(tmp_path_factory: pytest.TempPathFactory, pins_path: Path) -> Path:
    """A models folder whose one model, `toy`, knows every word of the sample pins."""
    folder = tmp_path_factory.mktemp("models")
    write_toy_model(folder, pins_path.read_text(encoding="utf-8").splitlines())
    return folder


@pytest.fixture(scope="session")
def pins_indexes(
    tmp_path_factory: pytest.TempPathFactory, pins_path: Path, toy_models: Path
) -> Path:
    """An indexes folder with one published version of the sample pins. Read it; do not write."""
    folder = tmp_path_factory.mktemp("indexes")
    build_pins(pins_path, toy_models, folder, now=datetime(2026, 11, 1, 12, 0, tzinfo=UTC))
    return folder


def build_pins(source: Path, models_folder: Path, indexes: Path, *, now: datetime) -> str:
    """Build and publish a version of a file of pins with the toy model; returns its name."""
    version = build(
        source,
        SAMPLE_COLUMNS,
        name="pins",
        models=models_folder,
        indexes=indexes,
        model_id="toy",
        now=now,
    ).version
    publish(indexes, "pins", version, now=now)
    return version
