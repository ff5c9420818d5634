"""Check: is an export still the model it was made from? Measured on texts, judged by gates.

Reference in torch ↔ float32 graph ↔ the export in question; alone ↔ in a padded batch; one
thread ↔ several; today ↔ the golden vectors.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from importlib.metadata import version
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import numpy as np

from service.encoders.encoder import Encoder
from service.encoders.exports import MANIFEST, ExportManifest
from service.encoders.onnx_encoder import OnnxEncoder
from service.encoders.registry import ModelRecord
from service.errors import MagpieError, ModelNotFound
from service.pipelines.check_gates import Gates, judge, verdict
from service.pipelines.check_parity import open_reference
from service.pipelines.check_report import (
    CheckReport,
    Comparison,
    RankingLoss,
    SampleFacts,
    report_path,
)
from service.pipelines.check_sample import Sample
from service.pipelines.golden_vectors import (
    GOLDEN,
    GoldenResult,
    GoldenVectors,
    compare_golden,
    encode_golden,
    golden_texts,
    make_golden,
)
from service.pipelines.model_comparison import Progress, compare, ranking_loss, run, steadiness
from service.pipelines.model_lock import UPSTREAM
from service.pipelines.model_report import write_page
from service.pipelines.pull_model import verify_upstream
from service.pipelines.sentence_graph import quiet_libraries
from service.types import Vectors

REFERENCE = "torch"


def check(
    record: ModelRecord,
    export: Path,
    sample: Sample,
    *,
    now: datetime,
    gates: Gates | None = None,
    threads: int = 2,
    with_reference: bool = True,
    progress: Progress = lambda stage, done, total: None,
) -> CheckReport:
    """Measure an export, write the report beside its model, as JSON and as a page.

    Args:
        record: of the model.
        export: the export in question, `models/<id>/exports/<digest>`.
        sample: the texts, with labels if there are any.
        now: the time that goes into the report, with a time zone.
        gates: what is asked; the defaults where None.
        threads: how many are compared with one.
        with_reference: compare with torch where it and the weights are here.
        progress: told the stage, texts done, texts in all.

    Returns:
        The report. Its verdict may be `failed`; that is the caller's to refuse.

    Raises:
        ModelNotFound: an export of less than float32 whose float32 twin is not here.
        CorruptArtifact: a file of an export is not the one that was exported.
    """
    manifest = ExportManifest.read(export)
    notes: list[str] = []
    comparisons: list[Comparison] = []
    ranking: list[RankingLoss] = []
    chain = _chain(record, export, with_reference=with_reference, notes=notes)
    runs = [run(name, encoder, sample, progress) for name, encoder in chain]
    for left, right in pairwise(runs):
        comparisons.append(compare(left, right, sample.texts))
        if sample.labels is not None:
            ranking.append(ranking_loss(left, right, sample.labels))
    progress("alone and in batches", 0, None)
    comparisons += steadiness(export, threads)
    golden = _golden(record, export, notes)
    asked = tuple(judge(manifest.precision, comparisons, ranking, golden, gates or Gates()))
    report = CheckReport(
        model=manifest.identity,
        precision=manifest.precision,
        origin=manifest.origin,
        dim=manifest.dim,
        recipe=manifest.recipe,
        checked_at=now.isoformat(timespec="seconds"),
        sample=SampleFacts(source=sample.source, texts=len(sample.texts), sha256=sample.sha256),
        comparisons=tuple(comparisons),
        ranking=tuple(ranking),
        golden=golden,
        gates=asked,
        verdict=verdict(asked, is_compared=len(runs) > 1 or golden is not None),
        notes=tuple(notes),
        tools={name: version(name) for name in ("onnxruntime", "tokenizers", "numpy")},
    )
    report.write(report_path(export))
    write_page(report, report_path(export).with_suffix(".html"))
    return report


def lock_golden(record: ModelRecord, export: Path, *, now: datetime) -> Path:
    """Write the golden vectors of a model, by the reference if it is here, else by the graph.

    Raises:
        InvalidSettings: some are locked already.
        ModelNotFound: neither the reference nor a float32 export is here.
    """
    runtime, encoder = next(_chain(record, export, with_reference=True, notes=[]))
    golden = make_golden(
        record,
        encode_golden(encoder, golden_texts()),
        runtime="torch" if runtime == REFERENCE else "onnx",
        tools={name: version(name) for name in _tools(runtime)},
        now=now,
    )
    path = _model_folder(export) / GOLDEN
    golden.write(path)
    return path


def _tools(runtime: str) -> tuple[str, ...]:
    if runtime == REFERENCE:
        return ("torch", "transformers", "sentence-transformers")
    return ("onnxruntime", "tokenizers")


class _Reference:
    """The publisher's own pipeline in torch, as an encoder."""

    def __init__(self, record: ModelRecord, upstream: Path, manifest: ExportManifest) -> None:
        self._record = record
        with quiet_libraries():
            self._encode = open_reference(upstream, replace(record, dim=manifest.dim))
        self.identity = manifest.model
        self.dim = manifest.dim
        self.max_tokens = manifest.max_tokens

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        return self._with(self._record.query_instruction, texts)

    def encode_items(self, texts: Sequence[str]) -> Vectors:
        return self._with(self._record.item_instruction, texts)

    def _with(self, instruction: str, texts: Sequence[str]) -> Vectors:
        if not texts:
            return np.empty((0, self.dim), dtype=np.float32)
        with quiet_libraries():
            return self._encode([instruction + text for text in texts])


def _chain(
    record: ModelRecord, export: Path, *, with_reference: bool, notes: list[str]
) -> Iterator[tuple[str, Encoder]]:
    """Yield what is compared, the most faithful first, each once, the export itself last."""
    manifest = ExportManifest.read(export)
    missing = "left out on request" if not with_reference else _why_no_reference(record, export)
    if missing:
        notes.append(f"Not compared with the reference in torch: {missing}.")
    else:
        yield REFERENCE, _Reference(record, _model_folder(export) / UPSTREAM, manifest)
    if manifest.derived_from is not None:
        yield "float32", OnnxEncoder.open(_float32_twin(export, manifest))
    yield manifest.precision, OnnxEncoder.open(export)


def _why_no_reference(record: ModelRecord, export: Path) -> str:
    if not all(map(find_spec, ("torch", "sentence_transformers"))):
        return "it is not installed"
    folder = _model_folder(export)
    if not any((folder / UPSTREAM).glob("*.safetensors")):
        return "the model's weights are not here"
    try:
        lock = verify_upstream(record, folder.parent)
    except MagpieError as error:
        return error.message.rstrip(".")
    if lock.digest != ExportManifest.read(export).upstream_digest:
        return "the weights here are not those the export was made from"
    return ""


def _float32_twin(export: Path, manifest: ExportManifest) -> Path:
    """Find the float32 export that this one was made from."""
    for folder in sorted(export.parent.iterdir()):
        if (folder / MANIFEST).is_file():
            digest = ExportManifest.read(folder).identity.digest
            if digest == manifest.derived_from:
                return folder
    raise ModelNotFound(
        f"the float32 export that {export.name} was made from is not here.",
        f"Run: magpie model export {manifest.identity.id}",
    )


def _model_folder(export: Path) -> Path:
    return export.parent.parent


def _golden(record: ModelRecord, export: Path, notes: list[str]) -> GoldenResult | None:
    encoder = OnnxEncoder.open(export, verify=False)
    golden = GoldenVectors.read(_model_folder(export) / GOLDEN)
    if golden is None:
        notes.append(f"No golden vectors are locked: magpie model check {record.id} --lock-golden.")
        return None
    if not golden.applies_to(encoder):
        notes.append("The golden vectors are of another revision or length, and were left out.")
        return None
    return compare_golden(golden, encoder, encoder.manifest.precision)
