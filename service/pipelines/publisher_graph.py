"""The publisher's own ONNX file, with pooling and normalisation appended: no torch needed.

The file comes from a hub and is read as untrusted: plain operators only, no functions, no data
outside the file, the inputs and the one output that we know.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import orjson

from service.encoders.exports import GRAPH, TOKENIZER
from service.encoders.registry import ModelRecord, Pooling
from service.errors import ModelRejected
from service.pipelines.model_intake import SHIPPED_GRAPH
from service.pipelines.sentence_tokenizer import write_tokenizer

if TYPE_CHECKING:
    import onnx

OUTPUTS = ("last_hidden_state", "token_embeddings")
"""Names by which exporters call the token vectors, float (batch, sequence, hidden)."""

# onnxruntime's own operators: they are part of it, no library is loaded for them.
_DOMAINS = frozenset({"", "ai.onnx", "com.microsoft"})
_INPUTS = frozenset({"input_ids", "attention_mask", "token_type_ids"})
_NEEDED = frozenset({"input_ids", "attention_mask"})
_OLDEST_OPSET = 11
_OLDEST_OPSET_FOR_LAST = 12
_PREFIX = "magpie/"
_EMBEDDING = "embedding"
_POOLING_CONFIG = "1_Pooling/config.json"
_POOLING_KEYS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_lasttoken": "last",
}


def adopt(upstream: Path, record: ModelRecord, work: Path) -> int:
    """Make an export's graph and tokenizer of the ONNX file that the publisher ships.

    Args:
        upstream: the pulled files, verified, with `SHIPPED_GRAPH` among them.
        record: says how token vectors become one; where it has `dims`, `dim` is the one chosen.
        work: a folder that receives `model.onnx` and `tokenizer.json`.

    Returns:
        The opset of the graph, which is the publisher's.

    Raises:
        ModelRejected: the file is not a graph we dare to run, or not one of token vectors.
    """
    import onnx

    _check_pooling(upstream, record)
    try:
        model = onnx.load(str(upstream / SHIPPED_GRAPH), load_external_data=False)
    except Exception as error:  # protobuf's C++ side raises its own classes
        raise ModelRejected(f"{SHIPPED_GRAPH}: is not an ONNX file ({error}).") from error
    _refuse(find_faults(model))
    opset = _opset(model)
    if record.pooling == "last" and opset < _OLDEST_OPSET_FOR_LAST:
        raise ModelRejected(f"{SHIPPED_GRAPH}: opset {opset} cannot pick the last token.")
    append_pooling(model, record.pooling, record.dim if record.dims else None)
    _check(model)
    (work / GRAPH).write_bytes(model.SerializeToString(deterministic=True))
    write_tokenizer(upstream, work / TOKENIZER)
    return opset


def find_faults(model: "onnx.ModelProto") -> Iterator[str]:
    """Yield why a graph is refused: foreign operators, code or data elsewhere, other shapes."""
    for imported in model.opset_import:
        if imported.domain not in _DOMAINS:
            yield f"imports operators of {imported.domain[:80]!r}"
    if len(model.functions) or len(model.training_info):
        yield "carries functions or training graphs"
    for graph in _graphs(model.graph):
        yield from _graph_faults(graph)
    if _opset(model) < _OLDEST_OPSET:
        yield f"has opset {_opset(model)}; {_OLDEST_OPSET} is the oldest we can extend"
    yield from _interface_faults(model.graph)


def append_pooling(model: "onnx.ModelProto", pooling: Pooling, dim: int | None) -> None:
    """Turn token vectors into one unit vector a text; the only output becomes `embedding`.

    The nodes exist in every opset from 11 on (12 for the last token). The mean needs no division
    by the number of tokens: a unit vector has no length to lose.

    Args:
        model: changed in place; `find_faults` found nothing.
        pooling: the first token, the mean of all, or the last one.
        dim: how many leading numbers to keep before normalising; None keeps all.
    """
    import onnx

    hidden = next(o for o in model.graph.output if o.name in OUTPUTS)
    source = hidden.name
    if hidden.type.tensor_type.elem_type != onnx.TensorProto.FLOAT:
        source = _add(model.graph, "Cast", [source], "float_tokens", to=onnx.TensorProto.FLOAT)
    pooled = _pool(model.graph, source, pooling)
    if dim is not None:
        bounds = [_constant(model.graph, n, [v]) for n, v in (("0", 0), ("dim", dim), ("1", 1))]
        # starts, ends, axes
        pooled = _add(model.graph, "Slice", [pooled, *bounds], "truncated")
    unit = _add(model.graph, "LpNormalization", [pooled], "unit", axis=-1, p=2)
    model.graph.node.append(onnx.helper.make_node("Identity", [unit], [_EMBEDDING]))
    del model.graph.output[:]
    model.graph.output.append(
        onnx.helper.make_tensor_value_info(
            _EMBEDDING, onnx.TensorProto.FLOAT, ["batch", dim or "hidden"]
        )
    )


def _pool(graph: "onnx.GraphProto", tokens: str, pooling: Pooling) -> str:
    from onnx import TensorProto

    if pooling == "cls":
        first = _constant(graph, "first", 0)
        return _add(graph, "Gather", [tokens, first], "pooled", axis=1)
    weights = _add(graph, "Cast", ["attention_mask"], "weights", to=TensorProto.FLOAT)
    if pooling == "mean":
        # (batch, sequence) to (batch, 1, sequence); a zero keeps the dimension.
        row = _add(graph, "Reshape", [weights, _constant(graph, "row", [0, 1, -1])], "row_weights")
        summed = _add(graph, "MatMul", [row, tokens], "summed")
        return _add(graph, "Reshape", [summed, _constant(graph, "flat", [0, -1])], "pooled")
    last = _add(graph, "ArgMax", [weights], "last", axis=1, keepdims=1, select_last_index=1)
    return _add(graph, "GatherND", [tokens, last], "pooled", batch_dims=1)


def _add(
    graph: "onnx.GraphProto", operator: str, inputs: list[str], output: str, **attributes: int
) -> str:
    import onnx

    name = _PREFIX + output
    graph.node.append(onnx.helper.make_node(operator, inputs, [name], name=name, **attributes))
    return name


def _constant(graph: "onnx.GraphProto", name: str, value: int | list[int]) -> str:
    import onnx

    tensor = onnx.numpy_helper.from_array(
        np.asarray(value, dtype=np.int64), f"{_PREFIX}const/{name}"
    )
    graph.initializer.append(tensor)
    return str(tensor.name)


def _opset(model: "onnx.ModelProto") -> int:
    versions = (each.version for each in model.opset_import if each.domain in ("", "ai.onnx"))
    return int(next(versions, 0))


def _graphs(graph: "onnx.GraphProto") -> "Iterator[onnx.GraphProto]":
    """Yield a graph and every graph inside its nodes."""
    pending = [graph]
    while pending:
        graph = pending.pop()
        yield graph
        for node in graph.node:
            for attribute in node.attribute:
                if attribute.HasField("g"):
                    pending.append(attribute.g)
                pending.extend(attribute.graphs)


def _graph_faults(graph: "onnx.GraphProto") -> Iterator[str]:
    import onnx

    for node in graph.node:
        if node.domain not in _DOMAINS:
            yield f"has the operator {node.op_type[:80]!r} of {node.domain[:80]!r}"
    for tensor in _tensors(graph):
        is_external = tensor.data_location == onnx.TensorProto.EXTERNAL
        if is_external or len(tensor.external_data):
            yield f"keeps the tensor {tensor.name[:80]!r} in another file"
    taken = {name for node in graph.node for name in node.output}
    taken |= {tensor.name for tensor in graph.initializer} | {i.name for i in graph.input}
    if _EMBEDDING in taken or any(name.startswith(_PREFIX) for name in taken):
        yield f"uses the name {_EMBEDDING!r} or one that begins with {_PREFIX!r}"


def _tensors(graph: "onnx.GraphProto") -> "Iterator[onnx.TensorProto]":
    yield from graph.initializer
    sparse = list(graph.sparse_initializer)
    for node in graph.node:
        for attribute in node.attribute:
            yield attribute.t
            yield from attribute.tensors
            sparse.append(attribute.sparse_tensor)
            sparse.extend(attribute.sparse_tensors)
    for each in sparse:
        yield each.values
        yield each.indices


def _interface_faults(graph: "onnx.GraphProto") -> Iterator[str]:
    import onnx

    weights = {tensor.name for tensor in graph.initializer}
    inputs = {value.name: value for value in graph.input if value.name not in weights}
    for name in sorted(_NEEDED - inputs.keys()):
        yield f"has no input {name!r}"
    for name, value in inputs.items():
        kind = value.type.tensor_type
        if name not in _INPUTS:
            yield f"asks for the input {name[:80]!r}, which we do not know"
        elif kind.elem_type != onnx.TensorProto.INT64 or len(kind.shape.dim) != 2:
            yield f"has an input {name!r} that is not int64 (batch, sequence)"
    outputs = [value for value in graph.output if value.name in OUTPUTS]
    floats = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16)
    if not outputs:
        yield f"has no output called {' or '.join(OUTPUTS)}"
    elif outputs[0].type.tensor_type.elem_type not in floats:
        yield f"has an output {outputs[0].name!r} that holds no floats"


def _check_pooling(upstream: Path, record: ModelRecord) -> None:
    """Compare the record with what the publisher says, where it says so.

    A wrong pooling gives unit vectors all the same, and without torch nothing else would notice.
    """
    try:
        config = orjson.loads((upstream / _POOLING_CONFIG).read_bytes())
    except FileNotFoundError:
        return
    said = {kind for key, kind in _POOLING_KEYS.items() if config.get(key)}
    if said and said != {record.pooling}:
        raise ModelRejected(
            f"{record.id}: its record pools by {record.pooling!r}, "
            f"the publisher by {' and '.join(sorted(said))}.",
            "Correct `pooling` in models/registry.toml.",
        )


def _refuse(faults: Iterator[str]) -> None:
    found = list(dict.fromkeys(faults))
    if found:
        more = f", and {len(found) - 5} more" if len(found) > 5 else ""
        raise ModelRejected(
            f"{SHIPPED_GRAPH}: " + "; ".join(found[:5]) + more + ".",
            "Nothing of it was run. Pull the safetensors instead.",
        )


def _check(model: "onnx.ModelProto") -> None:
    import onnx

    try:
        onnx.checker.check_model(model)
    except (onnx.checker.ValidationError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise ModelRejected(f"{SHIPPED_GRAPH}: is not a valid ONNX graph ({reason}).") from error
