from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from service.pipelines.onnx_gate import find_graph_faults


def _model(domain: str = "", tensor: onnx.TensorProto | None = None) -> onnx.ModelProto:
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "w"], ["y"], domain=domain)],
        "g",
        [value("x", TensorProto.FLOAT, [1])],
        [value("y", TensorProto.FLOAT, [1])],
        [tensor or numpy_helper.from_array(np.ones(1, dtype=np.float32), "w")],
    )
    domains = {"": 17, domain: 1} if domain else {"": 17}
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid(*d) for d in domains.items()]
    )


def _faults(model: onnx.ModelProto, tmp_path: Path) -> list[str]:
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return list(find_graph_faults(path))


def test_plain_operators_pass(tmp_path: Path) -> None:
    assert _faults(_model(), tmp_path) == []
    assert _faults(_model("com.microsoft"), tmp_path) == []


def test_an_operator_from_elsewhere_is_named(tmp_path: Path) -> None:
    assert _faults(_model("evil.ops"), tmp_path) == [
        "imports operators of 'evil.ops'",
        "has the operator 'Add' of 'evil.ops'",
    ]


def test_an_operator_hidden_in_a_branch_is_found(tmp_path: Path) -> None:
    inner = _model("evil.ops").graph
    outer = _model()
    outer.graph.node.append(helper.make_node("If", ["c"], ["z"], then_branch=inner))
    assert _faults(outer, tmp_path) == ["has the operator 'Add' of 'evil.ops'"]


@pytest.mark.parametrize("location", ["../../etc/passwd", "weights.bin"])
def test_data_in_another_file_is_refused(tmp_path: Path, location: str) -> None:
    tensor = numpy_helper.from_array(np.ones(1, dtype=np.float32), "w")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", location
    assert _faults(_model(tensor=tensor), tmp_path) == ["keeps the tensor 'w' in another file"]


def test_what_is_no_graph_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"\xff" * 64)
    (fault,) = find_graph_faults(tmp_path / "model.onnx")
    assert "is not an ONNX file" in fault
