"""A BERT sentence encoder as a lean ONNX graph, in float32 or with 8-bit linear layers.

Against what an exporter writes: tokens lie sequence first, so that the heads of the attention
are strides and not copies; queries, keys and values share one quantised input; scales and shifts
of the 8-bit inputs are folded into the norms and weights before them; the segments and the mean's
divisor, which change nothing, are gone. Operators: onnx 17 and onnxruntime's com.microsoft.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from service.pipelines.bert_weights import (
    ATTENTION_NORM,
    KEY,
    MIX,
    NARROW,
    OUTPUT_NORM,
    QUERY,
    VALUE,
    WIDEN,
    Affine,
    BertWeights,
    Floats,
)
from service.pipelines.graph_writer import GraphWriter
from service.pipelines.int8_inputs import Int8Input

OPSET = 17
HIDDEN = -10000.0
"""What is added to the scores of padding, as the publishers' own code does."""

# GELU is never below -0.17: a token's numbers over its largest lie in -0.1 to 1 once that is
# taken to be at least 1.7, so that one step and one zero serve all tokens.
_LEAST_TOP = 1.7
_TOP_STEP = 1.1 / 255
_TOP_ZERO = 23


@dataclass(frozen=True, slots=True)
class _Shapes:
    """Names of the int64 shape vectors and of the mask that every layer uses."""

    queries: str
    keys: str
    scores: str
    scores_flat: str
    rows: str
    hidden: str
    batch: str


def write_lean_graph(
    weights: BertWeights,
    path: Path,
    inputs: Sequence[Mapping[str, Int8Input]] | None = None,
    *,
    with_ranges: bool = False,
) -> None:
    """Write the graph: `input_ids`, `attention_mask` int64 (batch, sequence) to `embedding`.

    Args:
        weights: of the model.
        path: the file to write.
        inputs: for 8 bits, how each layer's inputs are quantised, by the names QUERY (for keys
            and values too), MIX and WIDEN; None for float32.
        with_ranges: also give outputs `min/LAYER/NAME` and `max/LAYER/NAME`, float32 (inputs,),
            what a layer's inputs spread over in this batch.
    """
    graph = GraphWriter()
    mask = graph.add("Cast", "attention_mask", to=1)
    every, first = _shapes(graph, weights, mask)
    x = _embed(graph, weights, every, inputs[0][QUERY] if inputs else None)
    last = len(weights.layers) - 1
    for number, layer in enumerate(weights.layers):
        here = inputs[number] if inputs else {}
        after = inputs[number + 1] if inputs and number < last else {}
        shapes = first if number == last and weights.pooling == "cls" else every
        block = _Layer(graph, weights, shapes, layer, here, number if with_ranges else None)
        x = block.write(x, after.get(QUERY))
    _pool(graph, x, mask, weights)
    graph.save(path, weights.width, opset=OPSET)


def _shapes(graph: GraphWriter, weights: BertWeights, mask: str) -> tuple[_Shapes, _Shapes]:
    """Shapes of a layer for every token, and of one that only the first token of a text leaves."""
    shape = graph.add("Shape", "input_ids")
    batch = graph.add("Gather", shape, graph.integers(0))
    sequence = graph.add("Gather", shape, graph.integers(1))
    heads, one, rest = (graph.integers(number) for number in (weights.heads, 1, -1))
    size = graph.integers(weights.width // weights.heads)
    missing = graph.add("Sub", graph.floats(1.0), mask)
    hidden = graph.add("Mul", missing, graph.floats(HIDDEN))
    hidden = graph.add("Unsqueeze", hidden, graph.integers(1, 2))
    # Once for every query: adding whole squares takes half as long as adding a row to each line.
    square = graph.add("Concat", batch, one, sequence, sequence, axis=0)
    keys = graph.add("Concat", sequence, rest, size, axis=0)
    every = _Shapes(
        queries=keys,
        keys=keys,
        scores=graph.add("Concat", batch, heads, sequence, sequence, axis=0),
        scores_flat=graph.add("Concat", rest, sequence, sequence, axis=0),
        rows=graph.integers(-1, weights.width),
        hidden=graph.add("Expand", hidden, square),
        batch="",
    )
    first = replace(
        every,
        queries=graph.add("Concat", one, rest, size, axis=0),
        scores=graph.add("Concat", batch, heads, one, sequence, axis=0),
        scores_flat=graph.add("Concat", rest, one, sequence, axis=0),
        hidden=hidden,
        batch=batch,
    )
    return every, first


def _embed(
    graph: GraphWriter, weights: BertWeights, shapes: _Shapes, first: Int8Input | None
) -> str:
    """Add words and positions; returns the normed tokens, (sequence * batch, width)."""
    ids = graph.add("Transpose", "input_ids", perm=[1, 0])
    # 16 bits keep a half of the largest table of a small model, at a cosine of 1.000000.
    table = weights.words if first is None else weights.words.astype(np.float16)
    words = graph.add("Gather", graph.array(table), ids)
    if first is not None:
        words = graph.add("Cast", words, to=1)
    length = graph.add("Shape", ids)
    length = graph.add("Gather", length, graph.integers(0))
    zero = graph.integers(0)
    positions = graph.add("Slice", graph.array(weights.positions), zero, length, zero)
    positions = graph.add("Unsqueeze", positions, graph.integers(1))
    tokens = graph.add("Reshape", graph.add("Add", words, positions), shapes.rows)
    return _norm(graph, tokens, weights.first_norm, weights.epsilon, first)


def _norm(
    graph: GraphWriter, x: str, norm: Affine, epsilon: float, following: Int8Input | None
) -> str:
    """Normalise; where 8 bits follow, straight into their scale and shift, which costs nothing."""
    gain, bias = norm.weight, norm.bias
    if following is not None:
        gain, bias = gain / following.scale, (bias - following.shift) / following.scale
    return graph.add(
        "LayerNormalization", x, graph.array(gain), graph.array(bias), axis=-1, epsilon=epsilon
    )


def _pool(graph: GraphWriter, x: str, mask: str, weights: BertWeights) -> None:
    pooled = x
    if weights.pooling == "mean":
        shown = graph.add("Transpose", mask, perm=[1, 0])
        shown = graph.add("Unsqueeze", shown, graph.integers(2))
        length = graph.add("Gather", graph.add("Shape", mask), graph.integers(1))
        width = graph.integers(weights.width)
        tokens = graph.add("Concat", length, graph.integers(-1), width, axis=0)
        x = graph.add("Reshape", x, tokens)
        pooled = graph.add("ReduceSum", graph.add("Mul", x, shown), graph.integers(0), keepdims=0)
    # The norm takes the mean's divisor out again, so that it is not applied.
    length = graph.add("ReduceL2", pooled, axes=[-1], keepdims=1)
    graph.add("Div", pooled, length, output="embedding")


class _Layer:
    """One transformer layer, in float32 or with 8-bit linear layers."""

    def __init__(
        self,
        graph: GraphWriter,
        weights: BertWeights,
        shapes: _Shapes,
        layer: Mapping[str, Affine],
        inputs: Mapping[str, Int8Input],
        ranges_of: int | None,
    ) -> None:
        self._graph = graph
        self._weights = weights
        self._shapes = shapes
        self._layer = layer
        self._inputs = inputs
        self._ranges_of = ranges_of

    def write(self, x: str, following: Int8Input | None) -> str:
        """Add the nodes; tokens (sequence * batch, width) in and out, as the inputs want them."""
        graph, epsilon = self._graph, self._weights.epsilon
        mixed = self._linear(MIX, self._attend(x), residual=QUERY)
        total = graph.add("Add", mixed, self._residual(self._leaving(x), QUERY))
        x = _norm(graph, total, self._layer[ATTENTION_NORM], epsilon, self._inputs.get(WIDEN))
        wide = graph.add("Gelu", self._linear(WIDEN, x), domain=graph.MICROSOFT)
        narrow = self._narrow(wide) if self._inputs else self._linear(NARROW, wide)
        total = graph.add("Add", narrow, self._residual(x, WIDEN))
        return _norm(graph, total, self._layer[OUTPUT_NORM], epsilon, following)

    def _attend(self, x: str) -> str:
        graph, shapes = self._graph, self._shapes
        shared = self._quantized(QUERY, x)
        asking = self._leaving(shared) if shared else None
        query = self._linear(QUERY, self._leaving(x), shared=asking)
        query = graph.add("Reshape", query, shapes.queries)
        key, value = (
            graph.add("Reshape", self._linear(name, x, shared=shared), shapes.keys)
            for name in (KEY, VALUE)
        )
        size = self._weights.width // self._weights.heads
        scores = graph.add(
            "FusedMatMul", query, key, domain=graph.MICROSOFT,
            transBatchA=1, transBatchB=1, transB=1, alpha=size**-0.5,
        )  # fmt: skip
        scores = graph.add("Add", graph.add("Reshape", scores, shapes.scores), shapes.hidden)
        shares = graph.add("Softmax", scores, axis=-1)
        shares = graph.add("Reshape", shares, shapes.scores_flat)
        context = graph.add("FusedMatMul", shares, value, domain=graph.MICROSOFT, transBatchB=1)
        context = graph.add("Transpose", context, perm=[1, 0, 2])
        return graph.add("Reshape", context, shapes.rows)

    def _leaving(self, x: str) -> str:
        """The tokens that leave the layer: all, or the first of each text, which lie in front."""
        graph, batch = self._graph, self._shapes.batch
        return graph.add("Slice", x, graph.integers(0), batch, graph.integers(0)) if batch else x

    def _quantized(self, name: str, x: str) -> str | None:
        """Quantise a layer's input, or note its range; None where nothing is quantised."""
        graph = self._graph
        if self._ranges_of is not None:
            for reduce in ("min", "max"):
                output = f"{reduce}/{self._ranges_of}/{name}"
                operator = f"Reduce{reduce.capitalize()}"
                graph.add(operator, x, axes=[0], keepdims=0, output=output)
        if name not in self._inputs:
            return None
        step, zero = self._step(name)
        return graph.add("QuantizeLinear", x, step, zero)

    def _step(self, name: str) -> tuple[str, str]:
        taken = self._inputs[name]
        zero = self._graph.array(np.array(taken.zero, dtype=np.uint8))
        return self._graph.array(np.array(taken.step, dtype=np.float32)), zero

    def _linear(
        self, name: str, x: str, *, shared: str | None = None, residual: str | None = None
    ) -> str:
        graph, at = self._graph, QUERY if name in (KEY, VALUE) else name
        quantized = shared if name in (QUERY, KEY, VALUE) else self._quantized(name, x)
        weight, bias = self._layer[name].weight, self._layer[name].bias
        if quantized is None:
            return graph.add("Add", graph.add("MatMul", x, graph.array(weight)), graph.array(bias))
        taken = self._inputs[at]
        bias = bias + taken.shift @ weight
        weight = weight * taken.scale[:, None]
        if residual is not None:
            bias = bias + self._inputs[residual].shift
        if name == VALUE:
            # The shares of a head sum to 1: what is done to the values is done to the context.
            bias = (bias - self._inputs[MIX].shift) / self._inputs[MIX].scale
            weight = weight / self._inputs[MIX].scale
        step, zero = self._step(at)
        matrix, steps = int8_columns(weight)
        return graph.add(
            "MatMulIntegerToFloat", quantized, graph.array(matrix), step, graph.array(steps),
            zero, "", graph.array(bias), domain=graph.MICROSOFT,
        )  # fmt: skip

    def _narrow(self, wide: str) -> str:
        """The linear layer behind GELU, each token in a step of its own.

        Half of all the error of 8 bits lay here with one step for all: a few tokens reach 25
        where the others end at 3.
        """
        graph, layer = self._graph, self._layer[NARROW]
        top = graph.add("ReduceMax", wide, axes=[-1], keepdims=0)
        top = graph.add("Max", top, graph.floats(_LEAST_TOP))
        step = graph.add("Mul", top, graph.floats(_TOP_STEP))
        zero = graph.array(np.array(_TOP_ZERO, dtype=np.uint8))
        zeros = graph.add("Expand", zero, graph.add("Shape", step))
        quantized = graph.add("QuantizeLinear", wide, step, zeros, axis=0)
        matrix, steps = int8_columns(layer.weight)
        product = graph.add(
            "MatMulIntegerToFloat", quantized, graph.array(matrix), graph.floats(1.0),
            graph.array(steps), zero, domain=graph.MICROSOFT,
        )  # fmt: skip
        product = graph.add("Mul", product, graph.add("Unsqueeze", step, graph.integers(1)))
        return graph.add("Add", product, graph.array(layer.bias + self._inputs[WIDEN].shift))

    def _residual(self, x: str, name: str) -> str:
        """The tokens as they were before scale and shift; the shift is in the next bias."""
        if name not in self._inputs:
            return x
        return self._graph.add("Mul", x, self._graph.array(self._inputs[name].scale))


def int8_columns(weight: Floats) -> tuple[NDArray[np.int8], Floats]:
    """Quantise each column by its largest number; returns int8 (inputs, outputs) and steps."""
    steps = np.maximum(np.abs(weight).max(axis=0), np.finfo(np.float32).tiny) / 127
    rounded = np.clip(np.rint(weight / steps), -127, 127)
    return rounded.astype(np.int8), steps.astype(np.float32)
