"""What an exported graph may contain: known operators and nothing outside its own file."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx

# onnxruntime's own operators are part of it; no library is loaded for them.
_DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml", "com.microsoft", "com.microsoft.nchwc"})


def find_graph_faults(path: Path) -> Iterator[str]:
    """Yield why a graph must not be run. Needs the `onnx` package; runs nothing of the graph."""
    import onnx

    try:
        model = onnx.load(str(path), load_external_data=False)
    except Exception as error:  # protobuf's C++ side raises its own classes
        yield f"is not an ONNX file ({type(error).__name__})"
        return
    local = {function.domain for function in model.functions}
    for imported in model.opset_import:
        if imported.domain not in _DOMAINS | local:
            yield f"imports operators of {imported.domain[:80]!r}"
    for function in model.functions:
        yield from _node_faults(function.node, local)
    yield from _graph_faults(model.graph, local)


def _graph_faults(graph: "onnx.GraphProto", local: set[str]) -> Iterator[str]:
    for tensor in graph.initializer:
        yield from _tensor_faults(tensor)
    for sparse in graph.sparse_initializer:
        yield from _tensor_faults(sparse.values)
    yield from _node_faults(graph.node, local)


def _node_faults(nodes: "list[onnx.NodeProto]", local: set[str]) -> Iterator[str]:
    for node in nodes:
        if node.domain not in _DOMAINS | local:
            yield f"has the operator {node.op_type[:80]!r} of {node.domain[:80]!r}"
        for attribute in node.attribute:
            for tensor in (attribute.t, *attribute.tensors):
                yield from _tensor_faults(tensor)
            if attribute.HasField("g"):
                yield from _graph_faults(attribute.g, local)
            for inner in attribute.graphs:
                yield from _graph_faults(inner, local)


def _tensor_faults(tensor: "onnx.TensorProto") -> Iterator[str]:
    if tensor.data_location or len(tensor.external_data):
        yield f"keeps the tensor {tensor.name[:80]!r} in another file"
