"""Comparisons of two ways to encode the same texts."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np

from service.encoders.encoder import Encoder
from service.encoders.onnx_encoder import OnnxEncoder
from service.pipelines.agreement import (
    NEIGHBOURS,
    cosines,
    ndcg,
    relative_loss,
    shared_neighbours,
    similarity_loss,
)
from service.pipelines.check_report import Comparison, Distribution, RankingLoss, WorstText
from service.pipelines.check_sample import Labels, Sample
from service.pipelines.parity_texts import PARITY_TEXTS
from service.types import Scores, Vectors

_TEXTS_AT_ONCE = 128
_BINS = 40
_NARROWEST = 1e-6
_WORST = 5
_SHOWN = 80
# One batch of unequal texts, so that nearly all of them are padded.
_PADDED_BATCH_TOKENS = 8192
_STEADY_TEXTS = 64

Progress: TypeAlias = Callable[[str, int, int | None], None]
"""Told the stage, the texts done and the texts in all."""


@dataclass(frozen=True, slots=True)
class Run:
    """One way to encode, and the vectors it gave for the texts and queries of a sample."""

    name: str
    texts: Vectors
    queries: Vectors


def run(name: str, encoder: Encoder, sample: Sample, progress: Progress) -> Run:
    """Encode the texts and the queries of a sample."""
    parts = []
    for start in range(0, len(sample.texts), _TEXTS_AT_ONCE):
        progress(f"encode in {name}", start, len(sample.texts))
        parts.append(encoder.encode_items(sample.texts[start : start + _TEXTS_AT_ONCE]))
    progress(f"encode in {name}", len(sample.texts), len(sample.texts))
    queries = () if sample.labels is None else sample.labels.queries
    return Run(name, np.vstack(parts), encoder.encode_queries(queries))


def compare(left: Run, right: Run, texts: Sequence[str]) -> Comparison:
    """Compare two runs text by text, and by the ten nearest texts of each."""
    found = cosines(left.texts, right.texts)
    shared = shared_neighbours(left.texts, right.texts)
    counts = np.bincount(np.rint(shared * NEIGHBOURS).astype(int), minlength=NEIGHBOURS + 1)
    worst = [
        WorstText(text=texts[row][:_SHOWN], cosine=float(found[row]))
        for row in np.argsort(found)[:_WORST]
    ]
    return Comparison(
        left=left.name,
        right=right.name,
        texts=len(texts),
        cosine=_distribution(found),
        overlap_at_10=float(shared.mean()),
        similarity_loss=float(similarity_loss(left.texts, right.texts).mean()),
        shared=tuple(counts.tolist()),
        worst=tuple(worst),
    )


def _distribution(found: Scores) -> Distribution:
    lowest = float(found.min())
    # Rounding gives cosines a little above 1, and 32 bits have no 40 steps next to it.
    low = min(lowest, 1.0 - _NARROWEST)
    inside = np.clip(found.astype(np.float64), low, 1.0)
    counts, _ = np.histogram(inside, bins=_BINS, range=(low, 1.0))
    return Distribution(
        min=lowest,
        p1=float(np.percentile(found, 1)),
        mean=float(found.mean()),
        low=low,
        counts=tuple(counts.tolist()),
    )


def ranking_loss(left: Run, right: Run, labels: Labels) -> RankingLoss:
    """Say what search loses from the left run to the right one."""
    ours = ndcg(left.queries, left.texts, labels.relevant)
    theirs = ndcg(right.queries, right.texts, labels.relevant)
    loss, low, high = relative_loss(ours, theirs, seed=0)
    return RankingLoss(
        left=left.name,
        right=right.name,
        queries=len(labels.queries),
        items=len(left.texts),
        ndcg_left=float(ours.mean()),
        ndcg_right=float(theirs.mean()),
        loss=loss,
        loss_low=low,
        loss_high=high,
    )


def steadiness(export: Path, threads: int) -> Iterator[Comparison]:
    """Compare an export with itself: alone and in a padded batch, on one thread and several."""
    texts = PARITY_TEXTS[-_STEADY_TEXTS:]
    plain = OnnxEncoder.open(export)
    padded = OnnxEncoder.open(export, verify=False, token_budget=_PADDED_BATCH_TOKENS)
    parallel = OnnxEncoder.open(
        export, verify=False, threads=threads, token_budget=_PADDED_BATCH_TOKENS
    )
    alone = np.vstack([plain.encode_items([text]) for text in texts])
    together = padded.encode_items(texts)
    for left, right, ours, theirs in (
        ("alone", "in a padded batch", alone, together),
        ("1 thread", f"{threads} threads", together, parallel.encode_items(texts)),
    ):
        yield Comparison(
            left=left, right=right, texts=len(texts), cosine=_distribution(cosines(ours, theirs))
        )
