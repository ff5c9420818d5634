"""One ONNX graph from tokens to a unit vector: transformer, pooling and normalisation.

Everything here needs torch and transformers; they are imported inside the functions.
"""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from service.encoders.exports import Precision
from service.encoders.registry import ModelRecord, Pooling
from service.pipelines.half_storage import FILE_LIMIT_BYTES, choose_storage, store_in_half

if TYPE_CHECKING:
    import torch

OPSET = 17
_LOGGERS = ("torch", "torch.onnx", "transformers", "sentence_transformers", "onnxscript")
_EXAMPLE_SHAPE = (2, 9)
_EXAMPLE_PADDING = 4


def write_graph(
    upstream: Path, record: ModelRecord, path: Path, *, limit_bytes: int = FILE_LIMIT_BYTES
) -> Precision:
    """Export a model as one ONNX file with dynamic batch and sequence.

    Inputs `input_ids`, `attention_mask` and, where the model has segments, `token_type_ids`:
    int64 (batch, sequence). Output `embedding`: float32 (batch, dim). Where the record has
    `dims`, its `dim` is the one chosen: a vector is cut to it and then made a unit vector.

    Where the last token speaks for the text, positions are counted from the mask and the last
    token is found by it, so that the vectors are the same whichever side is padded: the
    publishers of decoders pad on the left, our encoder on the right.

    The tracing exporter is chosen on purpose: with torch 2.13 the newer one takes five times as
    long, writes our paths into the graph and gave it a name twice, so that onnxruntime refused
    it. Eager attention is what onnxruntime recognises and fuses best.

    Returns:
        What the weights are stored in: float32 where `limit_bytes` allows it.

    Raises:
        ModelRejected: the weights do not fit into one file.
    """
    import torch
    from transformers import AutoModel

    backbone = AutoModel.from_pretrained(
        str(upstream),
        local_files_only=True,
        trust_remote_code=False,
        use_safetensors=True,
        attn_implementation="eager",
        dtype=torch.float32,
    )
    parameters = sum(each.numel() for each in backbone.parameters())
    precision = choose_storage(record.id, parameters, limit_bytes)
    if precision == "float16":
        store_in_half(backbone)
    # Keys and values are kept for the next token, and there is none.
    backbone.config.use_cache = False
    names = ["input_ids", "attention_mask"]
    if getattr(backbone.config, "type_vocab_size", 0) > 1:
        names.append("token_type_ids")
    axes = {name: {0: "batch", 1: "sequence"} for name in names}
    with torch.no_grad():
        torch.onnx.export(
            _sentence_model(backbone, names, record).eval(),
            tuple(_example(names)),
            str(path),
            input_names=names,
            output_names=["embedding"],
            dynamic_axes={**axes, "embedding": {0: "batch"}},
            opset_version=OPSET,
            # Folding would turn weights of 16 bits into constants of 32.
            do_constant_folding=precision == "float32",
            dynamo=False,
        )
    return precision


def _example(names: list[str]) -> "Iterator[torch.Tensor]":
    """A batch with padding in it, so that the mask is traced and not folded away."""
    import torch

    mask = torch.ones(_EXAMPLE_SHAPE, dtype=torch.int64)
    mask[1, -_EXAMPLE_PADDING:] = 0
    for name in names:
        yield torch.zeros_like(mask) if name == "token_type_ids" else mask.clone()


def _sentence_model(
    backbone: "torch.nn.Module", names: list[str], record: ModelRecord
) -> "torch.nn.Module":
    import torch

    pooling, dim = record.pooling, record.dim
    is_cut = bool(record.dims) and dim < record.dims[-1]

    class SentenceModel(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.backbone = backbone

        def forward(self, *tensors: torch.Tensor) -> torch.Tensor:
            inputs = dict(zip(names, tensors, strict=True))
            if pooling == "last":
                inputs["position_ids"] = positions(inputs["attention_mask"])
            hidden = self.backbone(**inputs).last_hidden_state
            pooled = pool(hidden, inputs["attention_mask"], pooling)
            if is_cut:
                pooled = pooled[:, :dim]
            # Also where the publisher leaves it out: an Encoder promises unit rows.
            return torch.nn.functional.normalize(pooled, p=2.0, dim=1)

    return SentenceModel()


def pool(hidden: "torch.Tensor", mask: "torch.Tensor", pooling: Pooling) -> "torch.Tensor":
    """Make one vector of a text's token vectors.

    Args:
        hidden: float32 (batch, sequence, dim).
        mask: int64 (batch, sequence), 1 where a token is; padding on either side where the last
            token is taken, on the right elsewhere.
        pooling: the first token, the mean of all, or the last one.

    Returns:
        float32 (batch, dim).
    """
    import torch

    if pooling == "cls":
        return hidden[:, 0]
    if pooling == "mean":
        weights = mask.unsqueeze(-1).to(hidden.dtype)
        return (hidden * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1e-9)
    last = (mask * torch.arange(mask.shape[1])).amax(dim=1)
    index = last.view(-1, 1, 1).expand(-1, 1, hidden.shape[-1])
    return torch.gather(hidden, 1, index).squeeze(1)


def positions(mask: "torch.Tensor") -> "torch.Tensor":
    """Number the tokens of each text from 0, whichever side is padded; int64 as the mask."""
    return (mask.cumsum(dim=1) - 1).clamp(min=0)


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Keep progress bars and warnings of torch and transformers out of the user's terminal."""
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from transformers.utils import logging as transformers_logging

        had_bars = transformers_logging.is_progress_bar_enabled()
        transformers_logging.disable_progress_bar()
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
            if had_bars:
                transformers_logging.enable_progress_bar()
