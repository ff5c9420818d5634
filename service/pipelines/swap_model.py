"""From one model to another without stopping: a second index beside the first, and a comparison.

The items come out of the published version itself, so no source file is needed and both versions
hold the same items in the same rows. Nothing is published here.
"""

import shutil
import tempfile
import time
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version as installed_version
from pathlib import Path

import numpy as np
import orjson

from service.artifacts import sha256_bytes, write_atomic
from service.catalogue.table import ItemTable
from service.encoders.encoder import Encoder
from service.encoders.exports import ExportManifest, find_export
from service.encoders.onnx_encoder import OnnxEncoder
from service.errors import InvalidInput
from service.index import layout
from service.index.manifest import Manifest
from service.index.publish import current_version
from service.index.snapshot import Provenance, Snapshot, adopt_snapshot, open_snapshot
from service.index.tuning import build_faiss
from service.index.vector_segment import KEY, Keys
from service.index.vector_store import TextKeys, VectorStore
from service.index.vectors import open_vectors, refuse_useless
from service.pipelines.build_report import Progress, Stages
from service.pipelines.embed_items import embed_items
from service.pipelines.query_file import SampleQuery
from service.pipelines.swap_comparison import Difference, Measured, compare
from service.pipelines.version_parts import VectorOrigin

# Swept up with every other leftover of a crash by the next one who builds or publishes.
_WORK_PREFIX = ".staging-swap-"


@dataclass(frozen=True, slots=True)
class SwapReport:
    """What a swap would change. `report_path` is where the same stands as JSON."""

    catalogue: str
    created_at: datetime
    difference: Difference
    report_path: Path


@dataclass(frozen=True, slots=True)
class _NewModel:
    """A model whose licence and origin were checked."""

    origin: VectorOrigin
    encoder: Encoder
    size_bytes: int


def prepare_swap(
    catalogue: str,
    model_id: str,
    *,
    models: Path,
    indexes: Path,
    now: datetime,
    queries: Sequence[SampleQuery] = (),
    threads: int = 1,
    seed: int = 0,
    progress: Progress | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> SwapReport:
    """Build the published items again with another model, and compare the two versions.

    What is served stays. `publish` with the new version's name switches, `rollback` goes back.

    Args:
        catalogue: whose published version is built again.
        model_id: the model to change to; the current export of it.
        models: the folder of models.
        indexes: the folder of all catalogues.
        now: names the new version.
        queries: search texts to compare by, labelled or not.
        threads: cores for encoding and indexing.
        seed: for the samples, and for the index as in a build.
        progress: told the stages `encode`, `gather`, `index`, `write`, `compare`.
        clock: seconds; only differences matter.

    Raises:
        VersionNotFound: nothing is published.
        ModelNotFound: one of the two models has not been exported.
        LicenceRefused, ModelMismatch: the new model may not be used, or is not what it says.
        InvalidInput: the published version was made by this very export, or by no model.
        CorruptArtifact: the published version or an export is damaged.
        EncodingFailed: the new model gives vectors that cannot be indexed.
        PublishConflict: a build of this catalogue is under way.
    """
    stages = Stages(progress or _ignore, clock)
    old = open_snapshot(
        layout.version_folder(indexes, catalogue, current_version(indexes, catalogue))
    )
    model = _new_model(models, model_id, threads)
    _refuse_same(old, model)
    served = find_export(models, old.manifest.model)
    folder = layout.catalogue_folder(indexes, catalogue)
    with layout.building(folder):
        version = _build_beside(old, model, folder, now, threads, seed, stages)
    new = open_snapshot(layout.version_folder(indexes, catalogue, version))
    with stages.stage("compare"):
        difference = compare(
            Measured(old, OnnxEncoder.open(served, threads=threads), _size_bytes(served)),
            Measured(new, model.encoder, model.size_bytes),
            queries,
            seed=seed,
            clock=clock,
        )
    report = SwapReport(catalogue, now, difference, folder / f"{version}.swap.json")
    content = {"catalogue": catalogue, "created_at": now, "difference": difference}
    write_atomic(report.report_path, orjson.dumps(content, option=orjson.OPT_INDENT_2) + b"\n")
    return report


def _new_model(models: Path, model_id: str, threads: int) -> _NewModel:
    origin = VectorOrigin.of_export(models, model_id, threads)
    assert origin.encoder is not None  # an export is opened with its encoder
    return _NewModel(origin, origin.encoder, _size_bytes(find_export(models, model_id)))


def _size_bytes(export: Path) -> int:
    return sum(file.size_bytes for file in ExportManifest.read(export).files.values())


def _refuse_same(old: Snapshot, model: _NewModel) -> None:
    made = old.manifest.model
    if made.is_external:
        raise InvalidInput(
            f"{old.name} holds vectors that were brought along, made by no model of ours.",
            "Build the catalogue with a model: magpie index build",
        )
    if made == model.encoder.identity:
        raise InvalidInput(
            f"{old.name} was made by {made} already.", "Name another model: magpie model list"
        )


def _build_beside(
    old: Snapshot,
    model: _NewModel,
    folder: Path,
    now: datetime,
    threads: int,
    seed: int,
    stages: Stages,
) -> str:
    """Write the version; texts that this model encoded for an earlier one are not encoded again."""
    with tempfile.TemporaryDirectory(prefix=_WORK_PREFIX, dir=folder) as name:
        work = Path(name)
        shutil.copytree(folder / old.version / layout.ITEMS, work / layout.ITEMS)
        table = ItemTable.open(work / layout.ITEMS)
        template = old.manifest.template_sha256
        store = VectorStore.open(folder, model.encoder.identity, template, model.encoder.dim)
        keys = _keys(table, TextKeys(model.encoder.identity, template))
        embed_items(table, keys, model.encoder, store, work / layout.VECTORS, stages)
        vectors = open_vectors(work / layout.VECTORS, len(table), model.encoder.dim)
        refuse_useless(vectors, table.id)
        with stages.stage("index", len(table)) as report:
            built = build_faiss(vectors, seed=seed, threads=threads, progress=report)
            report(len(table))
        with stages.stage("write"):
            return adopt_snapshot(
                folder.parent,
                folder.name,
                parts=work,
                vectors=vectors,
                built=built,
                provenance=_provenance(old.manifest, model, seed),
                content_sha256=_content_sha256(old.manifest, model, seed),
                created_at=now,
            )


def _keys(table: ItemTable, text_keys: TextKeys) -> Keys:
    halves = array("Q")
    for row in range(len(table)):
        halves.extend(text_keys.key(table.text(row)))
    return np.frombuffer(halves, dtype=KEY)


def _content_sha256(old: Manifest, model: _NewModel, seed: int) -> str:
    """Digest what decides the version: what was in the old one, and who reads it now."""
    parts = ("swap", old.content_sha256, model.encoder.identity.digest, str(seed))
    return sha256_bytes("\0".join(parts).encode())


def _provenance(old: Manifest, model: _NewModel, seed: int) -> Provenance:
    """The same items from the same source, by another model."""
    return Provenance(
        model=model.encoder.identity,
        stand_in=model.origin.is_stand_in,
        template_pattern=old.template_pattern,
        template_sha256=old.template_sha256,
        source_name=old.source_name,
        source_sha256=old.source_sha256,
        rejects=old.rejects,
        seed=seed,
        tools={"onnxruntime": installed_version("onnxruntime")},
        model_lock=model.origin.lock,
        model_check=model.origin.check,
        # The items are copied as they stand; later changes are replayed over both versions.
        contained_changes=old.contained_changes,
    )


def _ignore(stage: str, done: int, total: int | None) -> None:
    """Report progress to nobody."""
