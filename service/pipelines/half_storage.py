"""Weights kept in 16 bits and computed with in 32: what makes a large model fit into one file.

An ONNX file holds 2 GiB. Publishers of large models store 16 bits anyway, so little is lost;
parity with the reference decides.
"""

from typing import TYPE_CHECKING

from service.encoders.exports import Precision
from service.errors import ModelRejected

if TYPE_CHECKING:
    import torch

FILE_LIMIT_BYTES = 2**31


def choose_storage(model_id: str, parameters: int, limit_bytes: int) -> Precision:
    """Choose the precision in which so many parameters fit into one file.

    Raises:
        ModelRejected: they do not in any.
    """
    if 4 * parameters < limit_bytes:
        return "float32"
    if 2 * parameters < limit_bytes:
        return "float16"
    raise ModelRejected(
        f"{model_id}: its weights are {2 * parameters / 1e9:.1f} GB in 16 bits, and an ONNX file "
        f"holds {limit_bytes / 1e9:.1f} GB.",
        "Take a smaller model; graphs of several files are not made.",
    )


def store_in_half(model: "torch.nn.Module") -> None:
    """Replace, in place, every linear layer and embedding by one that keeps 16 bits."""
    import torch

    class HalfLinear(torch.nn.Module):
        weight: torch.Tensor
        bias: torch.Tensor | None

        def __init__(self, layer: torch.nn.Linear) -> None:
            super().__init__()
            self.register_buffer("weight", layer.weight.detach().half())
            self.register_buffer("bias", None if layer.bias is None else layer.bias.detach())

        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.linear(inputs, self.weight.float(), self.bias)

    class HalfEmbedding(torch.nn.Module):
        weight: torch.Tensor

        def __init__(self, layer: torch.nn.Embedding) -> None:
            super().__init__()
            self.register_buffer("weight", layer.weight.detach().half())

        def forward(self, rows: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.embedding(rows, self.weight).float()

    for parent in list(model.modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, torch.nn.Linear):
                setattr(parent, name, HalfLinear(layer))
            elif isinstance(layer, torch.nn.Embedding):
                setattr(parent, name, HalfEmbedding(layer))
