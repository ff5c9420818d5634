"""How the inputs of 8-bit layers are quantised: fixed steps, from what they spread over on texts.

A few channels of a transformer carry numbers ten times as large as all others, nearly all of them
in one token a text. One step for a whole input then leaves little to the rest: overlap@10 falls
to 0.87. So each channel is shifted to its middle and scaled before (SmoothQuant, Xiao et al.,
2023; Outlier Suppression+, Wei et al., 2023), and the weights take the scale back. Fixed steps
make a vector independent of the texts that share its batch.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from tokenizers import Tokenizer

from service.pipelines.bert_weights import (
    KEY,
    MIX,
    QUERY,
    VALUE,
    WIDEN,
    Affine,
    BertWeights,
    Floats,
)

INPUTS: Mapping[str, tuple[str, ...]] = {
    QUERY: (QUERY, KEY, VALUE),
    MIX: (MIX,),
    WIDEN: (WIDEN,),
}
"""The inputs of a layer that have fixed steps, and the linear layers that read each."""
# Share of a channel's spread that its input gives up; the weights give up the rest. Of 0.3 to
# 1.0 the error of the layers' outputs was least at 0.8 to 1.0, in every layer tried.
_TO_WEIGHTS = 0.8
_LEVELS = 255
_SMALLEST = 1e-4


@dataclass(frozen=True, slots=True)
class Int8Input:
    """An input x becomes the bytes rint((x - shift) / scale / step) + zero.

    `shift` and `scale` are float32 (inputs,).
    """

    shift: Floats
    scale: Floats
    step: float
    zero: int


@dataclass(frozen=True, slots=True)
class Range:
    """What each channel of an input spreads over: float32 (inputs,) each."""

    low: Floats
    high: Floats


def choose_inputs(
    weights: BertWeights, ranges: Sequence[Mapping[str, Range]]
) -> tuple[Mapping[str, Int8Input], ...]:
    """Choose shift, scale and step of every input of every layer from measured ranges."""
    return tuple(
        {name: _choose(name, layer, found[name]) for name in INPUTS}
        for layer, found in zip(weights.layers, ranges, strict=True)
    )


def _choose(name: str, layer: Mapping[str, Affine], found: Range) -> Int8Input:
    shift = (found.low + found.high) / 2
    spread = np.maximum(np.maximum(found.high - shift, shift - found.low), _SMALLEST)
    matrices = np.hstack([layer[each].weight for each in INPUTS[name]])
    largest = np.maximum(np.abs(matrices).max(axis=1), _SMALLEST)
    scale = spread**_TO_WEIGHTS / largest ** (1 - _TO_WEIGHTS)
    scale = (scale / np.median(scale)).astype(np.float32)
    low = min(0.0, float(((found.low - shift) / scale).min()))
    high = max(0.0, float(((found.high - shift) / scale).max()))
    step = (high - low) / _LEVELS
    return Int8Input(shift.astype(np.float32), scale, step, round(-low / step))


def measure_ranges(
    graph: Path, tokenizer: Tokenizer, layers: int, texts: Sequence[str]
) -> tuple[Mapping[str, Range], ...]:
    """Run texts one by one through a graph that gives ranges, and join what it gives.

    Args:
        graph: written by `write_lean_graph` with ranges.
        tokenizer: the export's, cutting off where the export does.
        layers: of the model.
        texts: at least one.
    """
    session = ort.InferenceSession(str(graph), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    total: dict[str, NDArray[np.float32]] = {}
    for ids in _different_ids(tokenizer, texts):
        feeds = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
        for name, values in zip(names, session.run(names, feeds), strict=True):
            join = np.minimum if name.startswith("min/") else np.maximum
            total[name] = join(total.get(name, values), values)
    return tuple(
        {name: Range(total[f"min/{i}/{name}"], total[f"max/{i}/{name}"]) for name in INPUTS}
        for i in range(layers)
    )


def _different_ids(tokenizer: Tokenizer, texts: Sequence[str]) -> Iterator[NDArray[np.int64]]:
    for encoding in tokenizer.encode_batch(list(dict.fromkeys(texts))):
        yield np.array([encoding.ids], dtype=np.int64)
