"""Parity: whether an exported graph gives the vectors of the reference implementation.

The reference is sentence-transformers' own `encode` on the upstream files, in padded batches.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from service.encoders.exports import Parity
from service.encoders.onnx_encoder import OnnxEncoder
from service.encoders.registry import ModelRecord
from service.errors import ParityFailed
from service.pipelines.agreement import cosines
from service.pipelines.parity_texts import PARITY_TEXTS
from service.types import Vectors

_REFERENCE_BATCH = 16
_SHOWN = 60
# A graph that ignores its input gives 1; some models keep all their texts at a narrow angle.
_MOST_ALIKE = 0.999


def open_reference(upstream: Path, record: ModelRecord) -> Callable[[Sequence[str]], Vectors]:
    """Load the publisher's pipeline into sentence-transformers.

    Returns:
        What encodes texts as they stand into float32 (n, dim), unit rows.
    """
    import torch
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(
        str(upstream),
        device="cpu",
        local_files_only=True,
        trust_remote_code=False,
        truncate_dim=record.dim if record.dims else None,
        # Some publishers store 16 bits; the reference computes in 32 all the same.
        model_kwargs={"dtype": torch.float32, "use_safetensors": True},
    )
    model.max_seq_length = record.max_tokens

    def encode(texts: Sequence[str]) -> Vectors:
        vectors = model.encode(
            list(texts),
            batch_size=_REFERENCE_BATCH,
            normalize_embeddings=True,
            show_progress_bar=False,
            convert_to_numpy=True,
        )
        return np.asarray(vectors, dtype=np.float32)

    return encode


def check_parity(
    encoder: OnnxEncoder, upstream: Path, record: ModelRecord, *, min_cosine: float
) -> Parity:
    """Compare an encoder with its reference, on item texts and on query texts.

    Raises:
        ParityFailed: some text's vectors are further apart than `min_cosine`.
    """
    queries = tuple(record.query_instruction + text for text in PARITY_TEXTS)
    items = tuple(record.item_instruction + text for text in PARITY_TEXTS)
    reference = open_reference(upstream, record)(items + queries)
    ours = np.vstack([encoder.encode_items(PARITY_TEXTS), encoder.encode_queries(PARITY_TEXTS)])
    if reference.shape != ours.shape:
        raise ParityFailed(
            f"{record.id}: the reference gives {reference.shape[1]} numbers a text, "
            f"the export {ours.shape[1]}."
        )
    found = cosines(ours, reference)
    worst = int(np.argmin(found))
    # Written so that a NaN fails too.
    if not found[worst] >= min_cosine:
        raise ParityFailed(
            f"{record.id}: cosine {found[worst]:.6f} to the reference, {min_cosine} is asked, "
            f"on {(items + queries)[worst][:_SHOWN]!r}.",
            "Check pooling, max_tokens and normalize of its record in models/registry.toml.",
        )
    return Parity(min_cosine=float(found[worst]), mean_cosine=float(found.mean()), texts=len(found))


def check_unaided(encoder: OnnxEncoder, *, min_cosine: float) -> None:
    """Look at what can be seen without a reference: batches, differences, length.

    That vectors have length 1 is seen by the encoder itself.

    Raises:
        ParityFailed: a text's vector depends on its batch, or does not depend on the text.
    """
    together = encoder.encode_items(PARITY_TEXTS)
    alone = np.vstack([encoder.encode_items([text]) for text in PARITY_TEXTS])
    found = cosines(together, alone)
    worst = int(np.argmin(found))
    if not found[worst] >= min_cosine:
        raise ParityFailed(
            f"{encoder.identity}: alone and in a batch, {PARITY_TEXTS[worst][:_SHOWN]!r} gives "
            f"vectors with cosine {found[worst]:.6f}; {min_cosine} is asked."
        )
    similar = float((together @ together.T).mean())
    if not similar <= _MOST_ALIKE:
        raise ParityFailed(
            f"{encoder.identity}: its vectors of {len(PARITY_TEXTS)} different texts are nearly "
            f"one (mean cosine {similar:.4f}).",
            "The graph does not read its input, or pools another way than its record says.",
        )
