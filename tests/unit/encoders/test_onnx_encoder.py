from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from service.encoders.encoder import Encoder
from service.encoders.exports import ExportedFile, ExportManifest, find_export
from service.encoders.onnx_encoder import OnnxEncoder
from service.errors import CorruptArtifact, EncodingFailed, ModelNotFound

_TEXTS = [
    "balcony garden with herbs and a small table",
    "a",
    "番茄炒蛋",
    "",
    "oak shelf",
    "watercolour of a harbour at dusk, framed " * 3,
    "oak shelf",
]


@pytest.fixture(scope="module")
def export(toy_models: Path) -> Path:
    return find_export(toy_models, "toy")


@pytest.fixture(scope="module")
def encoder(export: Path) -> OnnxEncoder:
    return OnnxEncoder.open(export)


@pytest.fixture
def rewritten(export: Path, tmp_path: Path) -> Callable[..., Path]:
    """Copy the toy export with another graph or with other fields in its manifest."""

    def rewrite(graph: onnx.ModelProto | None = None, **fields: object) -> Path:
        manifest = ExportManifest.read(export)
        content = (
            (export / "model.onnx").read_bytes() if graph is None else graph.SerializeToString()
        )
        (tmp_path / "model.onnx").write_bytes(content)
        (tmp_path / "tokenizer.json").write_bytes((export / "tokenizer.json").read_bytes())
        files = {name: ExportedFile.of(tmp_path / name) for name in manifest.files}
        manifest.model_copy(update={"files": files, **fields}).write(tmp_path)
        return tmp_path

    return rewrite


def _ids_against_zero(op: str) -> onnx.ModelProto:
    """A graph whose embedding is the token ids, multiplied with or divided by zero."""
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["input_ids"], ["floats"], to=TensorProto.FLOAT),
            helper.make_node(op, ["floats", "zero"], ["embedding"]),
        ],
        "broken",
        [helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["b", "s"])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["b", "s"])],
        [numpy_helper.from_array(np.zeros(1, dtype=np.float32), "zero")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    return model


def test_it_is_an_encoder(encoder: OnnxEncoder) -> None:
    checked: Encoder = encoder
    assert checked.dim == encoder.encode_items(["oak"]).shape[1]
    assert checked.identity.id == "toy"
    assert checked.max_tokens == 256


def test_rows_are_unit_vectors_of_float32(encoder: OnnxEncoder) -> None:
    vectors = encoder.encode_items(_TEXTS)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)


def test_no_texts_give_no_rows(encoder: OnnxEncoder) -> None:
    assert encoder.encode_queries([]).shape == (0, encoder.dim)


@pytest.mark.parametrize("token_budget", [1, 16, 4096])
def test_batch_encoding_equals_single_encoding(export: Path, token_budget: int) -> None:
    encoder = OnnxEncoder.open(export, token_budget=token_budget)
    alone = np.vstack([encoder.encode_items([text]) for text in _TEXTS])
    np.testing.assert_allclose(encoder.encode_items(_TEXTS), alone, atol=1e-6)


def test_rows_come_back_in_the_order_of_the_texts(encoder: OnnxEncoder) -> None:
    forward = encoder.encode_items(_TEXTS)
    backward = encoder.encode_items(_TEXTS[::-1])
    np.testing.assert_allclose(forward, backward[::-1], atol=1e-6)
    np.testing.assert_array_equal(forward[4], forward[6])


def test_the_same_texts_give_the_same_bits(encoder: OnnxEncoder) -> None:
    first, second = encoder.encode_items(_TEXTS), encoder.encode_items(_TEXTS)
    assert first.tobytes() == second.tobytes()


def test_threads_may_share_an_encoder(encoder: OnnxEncoder) -> None:
    expected = encoder.encode_items(_TEXTS)
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: encoder.encode_items(_TEXTS), range(16)))
    for result in results:
        np.testing.assert_array_equal(result, expected)


def test_queries_and_items_have_their_own_instruction(rewritten: Callable[..., Path]) -> None:
    encoder = OnnxEncoder.open(rewritten(query_instruction="garden: ", item_instruction="oak: "))
    plain = OnnxEncoder.open(rewritten(query_instruction="", item_instruction=""))
    expected = plain.encode_items(["garden: shelf", "oak: shelf"])
    np.testing.assert_allclose(encoder.encode_queries(["shelf"])[0], expected[0], atol=1e-6)
    np.testing.assert_allclose(encoder.encode_items(["shelf"])[0], expected[1], atol=1e-6)


def test_what_lies_beyond_max_tokens_is_not_read(rewritten: Callable[..., Path]) -> None:
    encoder = OnnxEncoder.open(rewritten(max_tokens=4))
    short, long = encoder.encode_items(["oak garden table", "oak garden table harbour dusk"])
    np.testing.assert_allclose(short, long, atol=1e-6)


def test_a_changed_graph_is_not_opened(export: Path, rewritten: Callable[..., Path]) -> None:
    folder = rewritten()
    with (folder / "model.onnx").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(CorruptArtifact, match=r"model\.onnx"):
        OnnxEncoder.open(folder)


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json"])
def test_a_file_that_cannot_be_loaded_is_named(rewritten: Callable[..., Path], name: str) -> None:
    folder = rewritten()
    (folder / name).write_bytes(b"nonsense")
    with pytest.raises(CorruptArtifact, match=f"{name} cannot be loaded"):
        OnnxEncoder.open(folder, verify=False)


def test_a_folder_without_manifest_is_no_export(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match="not an exported model"):
        OnnxEncoder.open(tmp_path)


def test_nan_fails_the_batch_and_is_never_returned(rewritten: Callable[..., Path]) -> None:
    # 0 / 0 and n / 0: NaN and infinity in every row.
    folder = rewritten(_ids_against_zero("Div"), dim=4)
    with pytest.raises(EncodingFailed, match="no unit vector"):
        OnnxEncoder.open(folder).encode_items(["oak garden table"])


def test_vectors_that_are_not_unit_vectors_fail(rewritten: Callable[..., Path]) -> None:
    folder = rewritten(_ids_against_zero("Mul"), dim=4)
    with pytest.raises(EncodingFailed, match="no unit vector"):
        OnnxEncoder.open(folder).encode_items(["oak garden table"])


def test_a_wrong_shape_fails(rewritten: Callable[..., Path]) -> None:
    folder = rewritten(_ids_against_zero("Mul"), dim=384)
    with pytest.raises(EncodingFailed, match=r"not float32 \(1, 384\)"):
        OnnxEncoder.open(folder).encode_items(["oak garden table"])


def test_two_threads_give_the_vectors_of_one_in_the_same_order(export: Path) -> None:
    texts = [f"{text} {number}" for number in range(40) for text in _TEXTS]
    one, two = (
        OnnxEncoder.open(export, threads=threads, token_budget=64).encode_items(texts)
        for threads in (1, 2)
    )
    np.testing.assert_array_equal(one, two)


def test_a_failure_on_one_of_several_threads_reaches_the_caller(
    rewritten: Callable[..., Path],
) -> None:
    encoder = OnnxEncoder.open(rewritten(_ids_against_zero("Div")), threads=2)
    with pytest.raises(EncodingFailed):
        encoder.encode_items(_TEXTS)
