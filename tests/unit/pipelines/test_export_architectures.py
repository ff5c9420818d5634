"""Every architecture of the registry is exported faithfully: small, but of the real shape.

Qwen3 and XLM-RoBERTa are made here; BGE and GTE have their real tokenizers and configurations,
which lie beside the project, and random weights.
"""

import json
import shutil
import warnings
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from tokenizers import (
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

from service.encoders.exports import ExportManifest
from service.encoders.onnx_encoder import OnnxEncoder
from service.encoders.registry import ModelRecord, Pooling
from service.errors import InvalidSettings, ModelRejected
from service.pipelines.check_parity import open_reference
from service.pipelines.export_model import MIN_COSINE, export
from service.pipelines.half_storage import FILE_LIMIT_BYTES, choose_storage
from service.pipelines.parity_texts import PARITY_TEXTS
from service.pipelines.pull_model import pull
from service.pipelines.sentence_graph import quiet_libraries

pytestmark = pytest.mark.export

Files = dict[str, bytes]
Pulled = Callable[[Path, ModelRecord], None]

NOW = datetime(2026, 11, 23, 10, 15, 2, tzinfo=UTC)
SHARED = Path(__file__).resolve().parents[3].parent / "shared" / "models"
INSTRUCTION = "Instruct: Given a web search query, retrieve relevant passages\nQuery:"
# How Qwen splits text; transformers puts it into the reference whatever tokenizer.json says.
QWEN_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
MODULES = ("Transformer", "Pooling", "Normalize")


@pytest.fixture
def pulled(tmp_path: Path, hub_of: Callable[[Path], str]) -> Pulled:
    """Pull a model from a hub on this machine that holds the files of a folder."""

    def pull_it(folder: Path, record: ModelRecord) -> None:
        pull(record, tmp_path / "models", endpoint=hub_of(folder), now=NOW)

    return pull_it


@pytest.fixture
def hub_of(request: pytest.FixtureRequest) -> Callable[[Path], str]:
    hub = request.getfixturevalue("hub")

    def serve(folder: Path) -> str:
        hub.files = {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in folder.rglob("*")
            if path.is_file()
        }
        return str(hub.url)

    return serve


def _write_modules(folder: Path, pooling: str, hidden: int) -> None:
    names = {"cls": "cls_token", "mean": "mean_tokens", "last": "lasttoken"}
    config: dict[str, object] = {
        f"pooling_mode_{name}": pooling == key for key, name in names.items()
    }
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(
        json.dumps({"word_embedding_dimension": hidden, "include_prompt": True, **config})
    )
    (folder / "modules.json").write_text(
        json.dumps(
            [
                {
                    "idx": i,
                    "name": str(i),
                    "path": f"{i}_{name}" if i else "",
                    "type": f"sentence_transformers.models.{name}",
                }
                for i, name in enumerate(MODULES)
            ]
        )
    )


def _save(folder: Path, make: Callable[[], object]) -> None:
    with warnings.catch_warnings(), quiet_libraries():
        warnings.simplefilter("ignore")
        import torch

        torch.set_num_threads(1)
        torch.manual_seed(5)
        model = make()
        model.save_pretrained(folder)  # type: ignore[attr-defined]


@pytest.fixture(scope="session")
def tiny_qwen3(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Qwen3-Embedding-0.6B in the small: its ratios, byte-level BPE, left padding, last token."""
    folder = tmp_path_factory.mktemp("tiny-qwen3")
    words = _byte_level_tokenizer(folder)

    def make() -> object:
        from transformers import Qwen3Config, Qwen3Model

        return Qwen3Model(
            Qwen3Config(
                vocab_size=words,
                # 1024, 28 layers, 16 and 8 heads of 128, 3072 in the real one.
                hidden_size=64,
                num_hidden_layers=3,
                num_attention_heads=4,
                num_key_value_heads=2,
                head_dim=32,
                intermediate_size=192,
                rope_theta=1_000_000,
                rms_norm_eps=1e-6,
                max_position_embeddings=32_768,
                tie_word_embeddings=True,
                bos_token_id=None,
                eos_token_id=words - 1,
                initializer_range=0.3,
            )
        )

    _save(folder, make)
    _write_modules(folder, "last", 64)
    (folder / "config_sentence_transformers.json").write_text(
        json.dumps({"prompts": {"query": INSTRUCTION, "document": ""}})
    )
    return folder


def _byte_level_tokenizer(folder: Path) -> int:
    end = "<|endoftext|>"
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(QWEN_WORDS), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=700,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=[],
        show_progress=False,
    )
    tokenizer.train_from_iterator(PARITY_TEXTS, trainer)
    tokenizer.add_special_tokens([end])
    tokenizer.post_processor = processors.Sequence(
        [
            processors.ByteLevel(trim_offsets=False),
            processors.TemplateProcessing(
                single=f"$A {end}",
                pair=f"$A {end} $B:1 {end}:1",
                special_tokens=[(end, tokenizer.token_to_id(end))],
            ),
        ]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(
        json.dumps(
            {
                "tokenizer_class": "Qwen2Tokenizer",
                "padding_side": "left",
                "pad_token": end,
                "eos_token": end,
                "model_max_length": 131_072,
            }
        )
    )
    return int(tokenizer.get_vocab_size())


@pytest.fixture
def qwen3(tiny_qwen3: Path, record_for: Callable[..., ModelRecord], pulled: Pulled) -> ModelRecord:
    record = replace(
        record_for({}),
        architecture="Qwen3, 3 layers, hidden 64",
        pooling="last",
        padding="left",
        dim=64,
        dims=(16, 32, 64),
        max_tokens=120,
        query_instruction=INSTRUCTION,
    )
    pulled(tiny_qwen3, record)
    return record


def test_qwen3_agrees_with_sentence_transformers_which_pads_it_on_the_left(
    qwen3: ModelRecord, tmp_path: Path
) -> None:
    folder = export(qwen3, tmp_path / "models", now=NOW)
    parity = ExportManifest.read(folder).parity
    assert parity.min_cosine >= MIN_COSINE
    assert parity.texts == 2 * len(PARITY_TEXTS)
    encoder = OnnxEncoder.open(folder)
    alone = np.vstack([encoder.encode_items([text]) for text in PARITY_TEXTS])
    np.testing.assert_allclose(encoder.encode_items(PARITY_TEXTS), alone, atol=2e-6)


def test_the_vectors_of_qwen3_are_the_same_whichever_side_is_padded(
    qwen3: ModelRecord, tmp_path: Path
) -> None:
    folder = export(qwen3, tmp_path / "models", now=NOW)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(qwen3.max_tokens)
    vectors = {}
    for side in ("left", "right"):
        tokenizer.enable_padding(direction=side, pad_id=0)
        encodings = tokenizer.encode_batch(list(PARITY_TEXTS))
        assert len({sum(e.attention_mask) for e in encodings}) > 10
        vectors[side] = _run(
            folder, [e.ids for e in encodings], [e.attention_mask for e in encodings]
        )
    np.testing.assert_allclose(vectors["left"], vectors["right"], atol=2e-6)


def _run(folder: Path, ids: list[list[int]], mask: list[list[int]]) -> NDArray[np.float32]:
    session = ort.InferenceSession(str(folder / "model.onnx"))
    feeds = {"input_ids": ids, "attention_mask": mask}
    (vectors,) = session.run(None, {n: np.array(a, dtype=np.int64) for n, a in feeds.items()})
    return np.asarray(vectors)


def test_the_tokenizer_ends_every_text_as_qwen3_wants_it_also_a_long_one(
    qwen3: ModelRecord, tmp_path: Path
) -> None:
    folder = export(qwen3, tmp_path / "models", now=NOW)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(qwen3.max_tokens)
    end = tokenizer.token_to_id("<|endoftext|>")
    for encoding in tokenizer.encode_batch(list(PARITY_TEXTS)):
        assert encoding.ids[-1] == end
        assert encoding.ids.count(end) == 1
        assert len(encoding.ids) <= qwen3.max_tokens


def test_the_instruction_stands_before_queries_only(qwen3: ModelRecord, tmp_path: Path) -> None:
    encoder = OnnxEncoder.open(export(qwen3, tmp_path / "models", now=NOW))
    text = PARITY_TEXTS[0]
    np.testing.assert_array_equal(
        encoder.encode_queries([text]), encoder.encode_items([INSTRUCTION + text])
    )
    assert float((encoder.encode_queries([text]) @ encoder.encode_items([text]).T).item()) < 0.999


def test_a_shorter_vector_is_the_beginning_of_the_long_one_made_a_unit_vector(
    qwen3: ModelRecord, tmp_path: Path
) -> None:
    whole = OnnxEncoder.open(export(qwen3, tmp_path / "models", now=NOW))
    folder = export(qwen3, tmp_path / "models", now=NOW, dim=16)
    short = OnnxEncoder.open(folder)
    expected = whole.encode_items(PARITY_TEXTS)[:, :16]
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(short.encode_items(PARITY_TEXTS), expected, atol=2e-6)
    assert ExportManifest.read(folder).dim == 16
    assert ExportManifest.read(folder).parity.min_cosine >= MIN_COSINE
    assert short.identity != whole.identity


@pytest.mark.parametrize("dim", [1, 63, 128])
def test_a_length_that_the_publisher_does_not_offer_is_refused(
    qwen3: ModelRecord, tmp_path: Path, dim: int
) -> None:
    with pytest.raises(InvalidSettings, match="16, 32, 64"):
        export(qwen3, tmp_path / "models", now=NOW, dim=dim)


def test_a_model_too_large_for_32_bits_is_stored_in_16_and_still_agrees(
    qwen3: ModelRecord, tmp_path: Path
) -> None:
    whole = export(qwen3, tmp_path / "models", now=NOW)
    size = (whole / "model.onnx").stat().st_size
    shutil.rmtree(whole.parent)
    folder = export(qwen3, tmp_path / "models", now=NOW, limit_bytes=int(0.7 * size))
    manifest = ExportManifest.read(folder)
    assert manifest.precision == "float16"
    assert manifest.parity.min_cosine >= MIN_COSINE
    assert (folder / "model.onnx").stat().st_size < 0.7 * size


def test_what_fits_into_no_file_is_refused_with_its_size() -> None:
    assert choose_storage("small", 33_360_000, FILE_LIMIT_BYTES) == "float32"
    assert choose_storage("medium", 595_776_512, FILE_LIMIT_BYTES) == "float16"
    with pytest.raises(ModelRejected, match=r"large: its weights are 8\.0 GB in 16 bits"):
        choose_storage("large", 4_021_774_336, FILE_LIMIT_BYTES)


@pytest.fixture(scope="session")
def tiny_xlm_roberta(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """bge-m3 and bce in the small: XLM-RoBERTa counts positions from its padding token's id."""
    folder = tmp_path_factory.mktemp("tiny-xlm-roberta")
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=600, special_tokens=special, unk_token="<unk>", show_progress=False
    )
    tokenizer.train_from_iterator(PARITY_TEXTS, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[("<s>", 0), ("</s>", 2)],
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(
        json.dumps(
            {
                "tokenizer_class": "PreTrainedTokenizerFast",
                "pad_token": "<pad>",
                "unk_token": "<unk>",
                "bos_token": "<s>",
                "eos_token": "</s>",
                "model_max_length": 64,
            }
        )
    )

    def make() -> object:
        from transformers import XLMRobertaConfig, XLMRobertaModel

        return XLMRobertaModel(
            XLMRobertaConfig(
                vocab_size=tokenizer.get_vocab_size(),
                hidden_size=32,
                num_hidden_layers=2,
                num_attention_heads=4,
                intermediate_size=64,
                max_position_embeddings=66,
                type_vocab_size=1,
                pad_token_id=1,
                initializer_range=0.5,
            )
        )

    _save(folder, make)
    _write_modules(folder, "cls", 32)
    return folder


def test_xlm_roberta_agrees_with_sentence_transformers_up_to_its_longest_text(
    tiny_xlm_roberta: Path,
    record_for: Callable[..., ModelRecord],
    pulled: Pulled,
    tmp_path: Path,
) -> None:
    record = replace(record_for({}), pooling="cls", dim=32, max_tokens=64)
    pulled(tiny_xlm_roberta, record)
    folder = export(record, tmp_path / "models", now=NOW)
    assert ExportManifest.read(folder).parity.min_cosine >= MIN_COSINE
    encoder = OnnxEncoder.open(folder)
    alone = np.vstack([encoder.encode_items([text]) for text in PARITY_TEXTS])
    np.testing.assert_allclose(encoder.encode_items(PARITY_TEXTS), alone, atol=2e-6)


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "pooling", "layers"), [("bge-small-zh-v1.5", "cls", 4), ("gte-small", "mean", 12)]
)
def test_the_real_tokenizer_and_configuration_with_random_weights(
    name: str,
    pooling: Pooling,
    layers: int,
    record_for: Callable[..., ModelRecord],
    pulled: Pulled,
    tmp_path: Path,
) -> None:
    if not (SHARED / name).is_dir():
        pytest.skip(f"{name}'s files lie in ../shared/models, which is not beside this checkout")
    folder = tmp_path / "upstream"
    hidden = _real_but_random(SHARED / name, folder, pooling)
    record = replace(record_for({}), pooling=pooling, dim=hidden, max_tokens=512)
    pulled(folder, record)
    exported = export(record, tmp_path / "models", now=NOW)
    assert json.loads((folder / "config.json").read_text())["num_hidden_layers"] == layers
    assert ExportManifest.read(exported).parity.min_cosine >= MIN_COSINE
    # Publishers compute on pairs of unequal length; so does the reference here.
    with quiet_libraries():
        reference = open_reference(tmp_path / "models" / "tiny" / "upstream", record)
        expected = reference(["阳台小花园 IKEA", "short", PARITY_TEXTS[5] * 4])
    encoder = OnnxEncoder.open(exported)
    ours = encoder.encode_items(["阳台小花园 IKEA", "short", PARITY_TEXTS[5] * 4])
    assert (ours * expected).sum(axis=1).min() >= MIN_COSINE


def _real_but_random(source: Path, folder: Path, pooling: str) -> int:
    """Copy what is published without weights, and add weights of that shape."""
    for path in source.rglob("*"):
        if path.is_file() and path.name != "quantize_config.json":
            target = folder / path.relative_to(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    config = json.loads((folder / "config.json").read_text())
    published = (folder / "config.json").read_bytes()

    def make() -> object:
        from transformers import BertConfig, BertModel

        wide = BertConfig.from_pretrained(str(folder), initializer_range=0.1)
        return BertModel(wide)

    _save(folder, make)
    (folder / "config.json").write_bytes(published)
    if not (folder / "modules.json").exists():
        _write_modules(folder, pooling, config["hidden_size"])
    return int(config["hidden_size"])
