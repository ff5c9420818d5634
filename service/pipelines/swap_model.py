"""From one model to another without stopping: a second index beside the first, and a comparison.

The items come out of the published version itself, so no source file is needed and both versions
hold the same items in the same rows. Nothing is published here.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version as installed_version
from pathlib import Path

import orjson

from service.artifacts import write_atomic
from service.encoders.exports import ExportManifest, find_export
from service.encoders.onnx_encoder import OnnxEncoder
from service.errors import InvalidInput
from service.index.layout import building, catalogue_folder, version_folder
from service.index.live import Serving
from service.index.manifest import Manifest
from service.index.publish import current_version
from service.index.snapshot import Provenance, Snapshot, open_snapshot, write_snapshot
from service.index.tuning import build_faiss
from service.pipelines.build_index import Progress, encode_all
from service.pipelines.query_file import SampleQuery
from service.pipelines.swap_comparison import Difference, Measured, compare


@dataclass(frozen=True, slots=True)
class SwapReport:
    """What a swap would change. `report_path` is where the same stands as JSON."""

    catalogue: str
    created_at: datetime
    difference: Difference
    report_path: Path


@dataclass(frozen=True, slots=True)
class _OpenModel:
    encoder: OnnxEncoder
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
        progress: told the stages `encode`, `index`, `write`, `compare`.
        clock: seconds; only differences matter.

    Raises:
        VersionNotFound: nothing is published.
        ModelNotFound: one of the two models has not been exported.
        InvalidInput: the published version was made by this very export.
        CorruptArtifact: the published version or an export is damaged.
        EncodingFailed: the new model gives vectors that cannot be indexed.
        PublishConflict: a build of this catalogue is under way.
    """
    progress = progress or _ignore
    published = current_version(indexes, catalogue)
    old = open_snapshot(version_folder(indexes, catalogue, published))
    new_model = _open_model(find_export(models, model_id), threads)
    if new_model.encoder.identity == old.manifest.model:
        raise InvalidInput(
            f"{old.name} was made by {old.manifest.model} already.",
            "Name another model, see: magpie model list",
        )
    old_model = _open_model(find_export(models, old.manifest.model), threads)
    new = _build_beside(old, new_model.encoder, indexes, now, threads, seed, progress)
    progress("compare", 0, None)
    difference = compare(
        Measured(Serving(old, old_model.encoder), old_model.size_bytes),
        Measured(Serving(new, new_model.encoder), new_model.size_bytes),
        queries,
        seed=seed,
        clock=clock,
    )
    path = catalogue_folder(indexes, catalogue) / f"{new.version}.swap.json"
    report = SwapReport(catalogue, now, difference, path)
    content = {"catalogue": catalogue, "created_at": now, "difference": difference}
    write_atomic(path, orjson.dumps(content, option=orjson.OPT_INDENT_2) + b"\n")
    return report


def _open_model(export: Path, threads: int) -> _OpenModel:
    size = sum(file.size_bytes for file in ExportManifest.read(export).files.values())
    return _OpenModel(OnnxEncoder.open(export, threads=threads), size)


def _build_beside(
    old: Snapshot,
    encoder: OnnxEncoder,
    indexes: Path,
    now: datetime,
    threads: int,
    seed: int,
    progress: Progress,
) -> Snapshot:
    items = [old.table.item(row) for row in range(len(old.table))]
    with building(catalogue_folder(indexes, old.catalogue)):
        progress("encode", 0, len(items))
        vectors = encode_all(items, encoder, lambda done: progress("encode", done, len(items)))
        progress("index", 0, len(items))
        built = build_faiss(
            vectors,
            seed=seed,
            threads=threads,
            progress=lambda done: progress("index", done, len(items)),
        )
        progress("index", len(items), len(items))
        progress("write", 0, len(items))
        version = write_snapshot(
            indexes,
            old.catalogue,
            items=items,
            vectors=vectors,
            built=built,
            provenance=_provenance(old.manifest, encoder, seed),
            created_at=now,
        )
        progress("write", len(items), len(items))
    return open_snapshot(version_folder(indexes, old.catalogue, version))


def _provenance(old: Manifest, encoder: OnnxEncoder, seed: int) -> Provenance:
    """The same items from the same source, by another model."""
    return Provenance(
        model=encoder.identity,
        stand_in=encoder.manifest.stand_in,
        template_pattern=old.template_pattern,
        template_sha256=old.template_sha256,
        source_name=old.source_name,
        source_sha256=old.source_sha256,
        rejects=old.rejects,
        seed=seed,
        tools={"onnxruntime": installed_version("onnxruntime")},
    )


def _ignore(stage: str, done: int, total: int | None) -> None:
    """Report progress to nobody."""
