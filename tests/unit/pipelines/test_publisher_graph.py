"""A publisher's ONNX file is made an export without torch, and refused where it is not plain."""

import json
import subprocess
import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from service.encoders.exports import ExportManifest, find_export
from service.encoders.onnx_encoder import OnnxEncoder
from service.encoders.registry import ModelRecord, Pooling
from service.errors import ModelRejected
from service.pipelines.export_model import export
from service.pipelines.model_intake import SHIPPED_GRAPH
from service.pipelines.parity_texts import PARITY_TEXTS
from service.pipelines.publisher_graph import adopt, append_pooling, find_faults
from service.pipelines.pull_model import pull
from service.pipelines.sentence_graph import quiet_libraries

Files = dict[str, bytes]
Graph = Callable[..., onnx.ModelProto]

NOW = datetime(2026, 11, 23, 10, 15, 2, tzinfo=UTC)
# Exports and encodes where importing the training stack is an error.
UNAIDED = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"torch", "transformers", "sentence_transformers"}:
            raise ImportError(f"{name} is blocked")

sys.meta_path.insert(0, Blocked())
import json
from datetime import UTC, datetime
from pathlib import Path
import numpy as np
from service.encoders.onnx_encoder import OnnxEncoder
from service.encoders.registry import ModelRecord
from service.pipelines.export_model import export
from service.pipelines.parity_texts import PARITY_TEXTS

record = ModelRecord(**json.loads(sys.argv[2]))
folder = export(record, Path(sys.argv[1]), now=datetime(2026, 11, 23, tzinfo=UTC))
np.save(sys.argv[3], OnnxEncoder.open(folder).encode_items(PARITY_TEXTS))
assert "torch" not in sys.modules
"""


@pytest.fixture
def shipped(
    with_pooling: Callable[[str], Files],
    record_for: Callable[..., ModelRecord],
    place: Callable[[Files, Path], Path],
    tmp_path: Path,
) -> Callable[..., tuple[Path, ModelRecord]]:
    """Lay the tiny BERT down with token vectors in ONNX beside its weights."""

    def lay_down(pooling: Pooling, opset: int = 17) -> tuple[Path, ModelRecord]:
        files = with_pooling(pooling)
        upstream = place(files, tmp_path / "upstream")
        _export_token_vectors(upstream, opset)
        return upstream, replace(record_for(files), pooling=pooling)

    return lay_down


def _export_token_vectors(upstream: Path, opset: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import torch
        from transformers import BertModel

        class Tokens(torch.nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.bert = BertModel.from_pretrained(upstream, attn_implementation="eager")

            def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
                ids, mask, types = inputs
                out = self.bert(input_ids=ids, attention_mask=mask, token_type_ids=types)
                return out.last_hidden_state, out.pooler_output

        mask = torch.ones((2, 7), dtype=torch.int64)
        mask[1, -3:] = 0
        names = ["input_ids", "attention_mask", "token_type_ids"]
        outputs = ["last_hidden_state", "pooler_output"]
        axes = {name: {0: "batch", 1: "sequence"} for name in [*names, outputs[0]]}
        (upstream / "onnx").mkdir()
        with quiet_libraries(), torch.no_grad():
            torch.onnx.export(
                Tokens().eval(),
                (mask, mask.clone(), torch.zeros_like(mask)),
                str(upstream / SHIPPED_GRAPH),
                input_names=names,
                output_names=outputs,
                dynamic_axes=axes,
                opset_version=opset,
                dynamo=False,
            )


@pytest.mark.export
@pytest.mark.parametrize("pooling", ["cls", "mean", "last"])
def test_without_torch_a_pulled_graph_gives_the_vectors_of_the_torch_export(
    shipped: Callable[..., tuple[Path, ModelRecord]],
    hub: Any,
    tmp_path: Path,
    pooling: Pooling,
) -> None:
    upstream, record = shipped(pooling)
    hub.files = {
        path.relative_to(upstream).as_posix(): path.read_bytes()
        for path in upstream.rglob("*")
        if path.is_file()
    }
    pull(record, tmp_path / "unaided", endpoint=hub.url, now=NOW, weights="onnx")
    pull(record, tmp_path / "converted", endpoint=hub.url, now=NOW)
    assert not list((tmp_path / "unaided").rglob("*.safetensors"))
    fields = {name: getattr(record, name) for name in ModelRecord.__dataclass_fields__}
    sent = json.dumps({**fields, "files": {}})
    subprocess.run(
        [sys.executable, "-c", UNAIDED, tmp_path / "unaided", sent, tmp_path / "vectors.npy"],
        check=True,
        timeout=120,
    )
    found = np.load(tmp_path / "vectors.npy")
    converted = OnnxEncoder.open(export(record, tmp_path / "converted", now=NOW))
    expected = converted.encode_items(PARITY_TEXTS)
    assert (found * expected).sum(axis=1).min() >= 0.9999
    np.testing.assert_allclose(found, expected, atol=2e-6)
    manifest = ExportManifest.read(find_export(tmp_path / "unaided", record.id))
    assert (manifest.origin, manifest.parity.texts) == ("publisher", 0)
    assert "torch" not in manifest.tools
    assert converted.manifest.origin == "converted"


@pytest.mark.export
def test_a_record_that_pools_otherwise_than_the_publisher_is_refused(
    shipped: Callable[..., tuple[Path, ModelRecord]], tmp_path: Path
) -> None:
    upstream, record = shipped("mean")
    with pytest.raises(ModelRejected, match="by 'cls', the publisher by mean"):
        adopt(upstream, replace(record, pooling="cls"), tmp_path)


HIDDEN = 6


@pytest.fixture
def graph() -> Graph:
    """A graph whose token vectors are rows of a table; options spoil one thing each."""

    def make(
        opset: int = 17,
        domain: str = "",
        operator: str = "Gather",
        inputs: tuple[str, ...] = ("input_ids", "attention_mask"),
        input_type: int = TensorProto.INT64,
        output: str = "last_hidden_state",
        output_type: int = TensorProto.FLOAT,
        external: bool = False,
        imports: str = "",
    ) -> onnx.ModelProto:
        table = np.random.default_rng(3).standard_normal((20, HIDDEN)).astype(np.float32)
        weights = numpy_helper.from_array(table, "table")
        if external:
            weights.ClearField("raw_data")
            weights.data_location = TensorProto.EXTERNAL
            weights.external_data.add(key="location", value="../../etc/passwd")
        node = helper.make_node(operator, ["table", "input_ids"], ["tokens"], domain=domain)
        nodes = [node]
        nodes.append(helper.make_node("Cast", ["tokens"], [output], to=output_type))
        made = helper.make_graph(
            nodes,
            "shipped",
            [helper.make_tensor_value_info(name, input_type, ["b", "s"]) for name in inputs],
            [helper.make_tensor_value_info(output, output_type, ["b", "s", HIDDEN])],
            [weights],
        )
        opsets = [helper.make_opsetid("", opset)]
        if imports:
            opsets.append(helper.make_opsetid(imports, 1))
        return helper.make_model(made, opset_imports=opsets, ir_version=8)

    return make


def _run(
    model: onnx.ModelProto, ids: list[list[int]], mask: list[list[int]]
) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    import onnxruntime as ort

    session = ort.InferenceSession(model.SerializeToString())
    feeds = {"input_ids": ids, "attention_mask": mask}
    (vectors,) = session.run(["embedding"], {n: np.array(a, np.int64) for n, a in feeds.items()})
    return np.asarray(vectors)


def _expected(
    model: onnx.ModelProto, ids: list[list[int]], mask: list[list[int]], pooling: Pooling, dim: int
) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    table = numpy_helper.to_array(model.graph.initializer[0])
    rows = []
    for text, kept in zip(ids, mask, strict=True):
        tokens = table[[token for token, keep in zip(text, kept, strict=True) if keep]]
        pooled = {"cls": tokens[0], "mean": tokens.mean(axis=0), "last": tokens[-1]}[pooling]
        rows.append(pooled[:dim] / np.linalg.norm(pooled[:dim]))
    return np.asarray(rows, dtype=np.float32)


IDS = [[3, 9, 4, 0, 0], [7, 2, 11, 5, 8], [13, 0, 0, 0, 0]]
MASK = [[1, 1, 1, 0, 0], [1, 1, 1, 1, 1], [1, 0, 0, 0, 0]]


EVERY_OPSET: list[tuple[int, Pooling]] = [
    (opset, pooling)
    for opset in (11, 12, 14, 17, 21)
    for pooling in ("cls", "mean", "last")
    if (opset, pooling) != (11, "last")
]


@pytest.mark.parametrize("dim", [None, 4])
@pytest.mark.parametrize(("opset", "pooling"), EVERY_OPSET)
def test_pooling_in_every_opset_equals_pooling_by_hand(
    graph: Graph, opset: int, pooling: Pooling, dim: int | None
) -> None:
    model = graph(opset=opset)
    expected = _expected(model, IDS, MASK, pooling, dim or HIDDEN)
    assert list(find_faults(model)) == []
    append_pooling(model, pooling, dim)
    onnx.checker.check_model(model, full_check=True)
    np.testing.assert_allclose(_run(model, IDS, MASK), expected, atol=1e-6)
    assert [each.name for each in model.graph.output] == ["embedding"]


def test_token_vectors_in_16_bits_give_vectors_in_32(graph: Graph) -> None:
    model = graph(output="token_embeddings", output_type=TensorProto.FLOAT16)
    expected = _expected(model, IDS, MASK, "mean", HIDDEN)
    append_pooling(model, "mean", None)
    vectors = _run(model, IDS, MASK)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, expected, atol=2e-3)


def test_the_last_token_is_found_on_either_side(graph: Graph) -> None:
    model = graph()
    append_pooling(model, "last", None)
    left = [[0, 0, 3, 9, 4]]
    right = [[3, 9, 4, 0, 0]]
    np.testing.assert_array_equal(
        _run(model, left, [[0, 0, 1, 1, 1]]), _run(model, right, [[1, 1, 1, 0, 0]])
    )


@pytest.mark.parametrize(
    ("spoiled", "reason"),
    [
        ({"domain": "evil.ops", "imports": "evil.ops"}, "imports operators of 'evil.ops'"),
        ({"domain": "evil.ops"}, "has the operator 'Gather' of 'evil.ops'"),
        ({"external": True}, "keeps the tensor 'table' in another file"),
        ({"inputs": ("input_ids",)}, "has no input 'attention_mask'"),
        (
            {"inputs": ("input_ids", "attention_mask", "past")},
            "asks for the input 'past', which we do not know",
        ),
        ({"input_type": TensorProto.INT32}, "is not int64 (batch, sequence)"),
        ({"output": "logits"}, "has no output called last_hidden_state or token_embeddings"),
        ({"output_type": TensorProto.INT64}, "holds no floats"),
        ({"output": "embedding"}, "uses the name 'embedding'"),
        ({"opset": 9}, "has opset 9"),
    ],
)
def test_a_graph_that_is_not_plain_is_refused_with_the_reason(
    graph: Graph, spoiled: dict[str, object], reason: str
) -> None:
    assert any(reason in fault for fault in find_faults(graph(**spoiled)))


def test_a_foreign_operator_inside_a_branch_is_found(graph: Graph) -> None:
    model = graph()
    inner = helper.make_graph(
        [helper.make_node("Run", [], ["x"], domain="evil.ops")],
        "branch",
        [],
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])],
    )
    model.graph.node.append(
        helper.make_node("If", ["input_ids"], ["y"], then_branch=inner, else_branch=inner)
    )
    assert any("'Run' of 'evil.ops'" in fault for fault in find_faults(model))


def test_a_function_of_the_file_is_refused(graph: Graph) -> None:
    model = graph()
    model.functions.append(
        helper.make_function("", "Gelu", ["x"], ["y"], [], [helper.make_opsetid("", 17)])
    )
    assert "carries functions or training graphs" in list(find_faults(model))


@pytest.mark.parametrize("content", [b"", b"not a graph", b"\x08\x08" * 50])
def test_a_file_that_is_no_graph_is_refused(
    record_for: Callable[..., ModelRecord], tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "onnx").mkdir()
    (tmp_path / SHIPPED_GRAPH).write_bytes(content)
    with pytest.raises(ModelRejected, match=r"onnx/model\.onnx"):
        adopt(tmp_path, record_for({}), tmp_path)
