"""The weights of a BERT encoder, read out of its exported float32 graph."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import orjson
from numpy.typing import NDArray

from service.encoders.registry import Pooling

if TYPE_CHECKING:
    import onnx

Floats: TypeAlias = NDArray[np.float32]

QUERY, KEY, VALUE = (f"attention.self.{name}" for name in ("query", "key", "value"))
MIX = "attention.output.dense"
WIDEN = "intermediate.dense"
NARROW = "output.dense"
LINEARS = (QUERY, KEY, VALUE, MIX, WIDEN, NARROW)
ATTENTION_NORM = "attention.output.LayerNorm"
OUTPUT_NORM = "output.LayerNorm"
_NORMS = (ATTENTION_NORM, OUTPUT_NORM)
_TABLES = tuple(f"embeddings.{name}_embeddings.weight" for name in ("word", "position"))
_SEGMENTS = "embeddings.token_type_embeddings.weight"
_FIRST_NORM = "embeddings.LayerNorm"


@dataclass(frozen=True, slots=True)
class Affine:
    """A weight with its bias: a linear layer (inputs, outputs) or a norm's gain (width,)."""

    weight: Floats
    bias: Floats


@dataclass(frozen=True, slots=True)
class BertWeights:
    """A BERT encoder whose texts are one segment each.

    `words` float32 (vocabulary, width); `positions` float32 (positions, width), with the first
    segment's vector added; `layers` by the names of this module.
    """

    words: Floats
    positions: Floats
    first_norm: Affine
    layers: tuple[Mapping[str, Affine], ...]
    heads: int
    epsilon: float
    pooling: Pooling

    @property
    def width(self) -> int:
        """Numbers in a token's vector."""
        return int(self.words.shape[1])


def read_bert(graph: Path, config: Path, pooling: Pooling) -> BertWeights | None:
    """Read a BERT encoder, or None where the graph or its configuration is of another kind.

    Args:
        graph: a float32 ONNX export of a BERT, whatever prefix its initializers carry.
        config: the publisher's `config.json`.
        pooling: of the sentence model around it; last-token pooling is another kind.
    """
    import onnx

    if not config.is_file() or pooling == "last":
        return None
    facts = orjson.loads(config.read_bytes())
    is_plain = (
        facts.get("model_type") == "bert"
        and facts.get("hidden_act") == "gelu"
        and facts.get("position_embedding_type", "absolute") == "absolute"
    )
    if not is_plain:
        return None
    found = _Parts(onnx.load(str(graph)).graph)
    try:
        segments = found.arrays.get(_SEGMENTS)
        words, positions = (found.arrays[name] for name in _TABLES)
        return BertWeights(
            words=words,
            positions=positions if segments is None else positions + segments[0],
            first_norm=found.norm(_FIRST_NORM),
            layers=tuple(found.layer(i) for i in range(facts["num_hidden_layers"])),
            heads=facts["num_attention_heads"],
            epsilon=facts["layer_norm_eps"],
            pooling=pooling,
        )
    except KeyError:
        return None


class _Parts:
    """Initializers by their names in a BERT, and the matrix that goes with each bias."""

    def __init__(self, graph: "onnx.GraphProto") -> None:
        from onnx import numpy_helper

        raw = {each.name: numpy_helper.to_array(each) for each in graph.initializer}
        # Where two parameters are equal, exporters keep one and let the other stand for it.
        for node in graph.node:
            if node.op_type == "Identity" and node.input[0] in raw:
                raw[node.output[0]] = raw[node.input[0]]
        self.arrays = {_bare(name): np.asarray(array) for name, array in raw.items()}
        self._matrices = {_bare(bias): raw[matrix] for bias, matrix in _pairs(graph, raw)}

    def norm(self, name: str) -> Affine:
        return Affine(self.arrays[f"{name}.weight"], self.arrays[f"{name}.bias"])

    def layer(self, number: int) -> Mapping[str, Affine]:
        at = f"encoder.layer.{number}."
        norms = {name: self.norm(at + name) for name in _NORMS}
        return norms | {
            name: Affine(self._matrices[f"{at}{name}.bias"], self.arrays[f"{at}{name}.bias"])
            for name in LINEARS
        }


def _bare(name: str) -> str:
    """Cut whatever wraps the BERT from a parameter's name."""
    starts = [at for part in ("embeddings.", "encoder.layer.") if (at := name.find(part)) >= 0]
    return name[min(starts) :] if starts else name


def _pairs(graph: "onnx.GraphProto", arrays: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """Yield (bias, matrix) of every MatMul whose product a bias is added to.

    Exporters rename the matrices, which they transpose, but not the biases.
    """
    matrices = {
        node.output[0]: node.input[1]
        for node in graph.node
        if node.op_type == "MatMul" and node.input[1] in arrays
    }
    for node in graph.node:
        if node.op_type == "Add":
            for bias, product in (tuple(node.input), tuple(node.input)[::-1]):
                if bias in arrays and product in matrices:
                    yield bias, matrices[product]
