"""A thin writer of ONNX graphs: add a node, get the name of what it gives."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import onnx

Array: TypeAlias = NDArray[np.generic]
Attribute: TypeAlias = int | float | Sequence[int]

_IR_VERSION = 9
_INPUTS = ("input_ids", "attention_mask")
_EMBEDDING = "embedding"


class GraphWriter:
    """Collects nodes and arrays; equal arrays are kept once."""

    MICROSOFT = "com.microsoft"

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._arrays: dict[tuple[str, tuple[int, ...], bytes], tuple[str, Array]] = {}
        self._extra_outputs: list[str] = []

    def add(
        self,
        operator: str,
        *inputs: str,
        domain: str = "",
        output: str = "",
        **attributes: Attribute,
    ) -> str:
        """Append a node; returns its output's name. A named output is one of the graph's."""
        from onnx import helper

        name = output or f"{operator}_{len(self._nodes)}"
        if output and output != _EMBEDDING:
            self._extra_outputs.append(output)
        node = helper.make_node(operator, inputs, [name], name=name, domain=domain, **attributes)
        self._nodes.append(node)
        return name

    def array(self, values: Array) -> str:
        """Add an initializer; doubles become floats."""
        if values.dtype == np.float64:
            values = values.astype(np.float32)
        values = np.ascontiguousarray(values).reshape(values.shape)
        key = (values.dtype.str, values.shape, values.tobytes())
        name, _ = self._arrays.setdefault(key, (f"array_{len(self._arrays)}", values))
        return name

    def integers(self, *values: int) -> str:
        """Add an int64 vector."""
        return self.array(np.array(values, dtype=np.int64))

    def floats(self, value: float) -> str:
        """Add a float32 number."""
        return self.array(np.array(value, dtype=np.float32))

    def save(self, path: Path, width: int, *, opset: int) -> None:
        """Write the graph of a sentence encoder."""
        import onnx
        from onnx import TensorProto, helper, numpy_helper

        outputs = [helper.make_tensor_value_info(_EMBEDDING, TensorProto.FLOAT, ["batch", width])]
        outputs += [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
            for name in self._extra_outputs
        ]
        graph = helper.make_graph(
            self._nodes,
            "sentence_encoder",
            [
                helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "sequence"])
                for name in _INPUTS
            ],
            outputs,
            [numpy_helper.from_array(array, name) for name, array in self._arrays.values()],
        )
        versions = [helper.make_opsetid("", opset), helper.make_opsetid(self.MICROSOFT, 1)]
        model = helper.make_model(graph, opset_imports=versions, producer_name="magpie")
        model.ir_version = _IR_VERSION
        onnx.save(model, str(path))
