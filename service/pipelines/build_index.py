"""From a file of items to a new index version: read, encode, index, write. Publishes nothing."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import TypeAlias

import numpy as np

from service.catalogue.column_map import ColumnMap
from service.catalogue.reader import Catalogue, read_catalogue
from service.encoders.encoder import Encoder
from service.encoders.exports import ExportManifest, find_export
from service.encoders.onnx_encoder import OnnxEncoder
from service.errors import EncodingFailed
from service.index.layout import building, catalogue_folder
from service.index.manifest import Factory, Manifest, read_manifest
from service.index.snapshot import Provenance, write_snapshot
from service.index.tuning import BuiltIndex, build_faiss
from service.index.vectors import check_vectors
from service.types import Item, Vectors

REJECTS = "REJECTS.jsonl"
"""Rows the latest build left out, in the catalogue's folder; absent when there were none."""

# Large enough for batches of equal length, small enough for a progress bar that moves.
_TEXTS_AT_ONCE = 512

Progress: TypeAlias = Callable[[str, int, int | None], None]
"""Told the stage (`read`, `encode`, `index`, `write`), what is done, and of how many if known."""


@dataclass(frozen=True, slots=True)
class BuildReport:
    """What a build did. `seconds` is by stage, `size_bytes` by file of the version."""

    catalogue: str
    version: str
    items: int
    rejects: int
    rejects_path: Path | None
    dim: int
    factory: Factory
    recall_at_10: float
    recall_at_100: float
    seconds: Mapping[str, float]
    size_bytes: Mapping[str, int]

    @property
    def texts_per_second(self) -> float:
        """Rate of the encode stage."""
        return self.items / max(self.seconds["encode"], 1e-9)

    @property
    def total_bytes(self) -> int:
        """Size of the version without its manifest."""
        return sum(self.size_bytes.values())


@dataclass(slots=True)
class _Stages:
    """Times the stages of a build and passes their progress on."""

    progress: Progress
    clock: Callable[[], float]
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
        started = self.clock()
        self.progress(name, 0, total)
        yield lambda done: self.progress(name, done, total)
        self.seconds[name] = self.clock() - started


def build(
    catalogue_path: Path,
    columns: ColumnMap,
    *,
    name: str,
    models: Path,
    indexes: Path,
    model_id: str,
    now: datetime,
    threads: int = 1,
    max_reject_share: float = 0.01,
    seed: int = 0,
    progress: Progress | None = None,
    encoder: Encoder | None = None,
    stand_in: bool = False,
    clock: Callable[[], float] = time.perf_counter,
) -> BuildReport:
    """Build a new version of a catalogue. It is not served until it is published.

    Args:
        catalogue_path: the file of items, see `read_items` for the formats.
        columns: how its rows become items.
        name: of the catalogue, `[a-z0-9][a-z0-9-]{0,62}`.
        models: the folder of models, with the exported model in it.
        indexes: the folder of all catalogues.
        model_id: which model to encode with.
        now: names the version.
        threads: cores to use. With one, the same input gives the same files.
        max_reject_share: 0 to 1; more rejected rows than that fail the build.
        seed: for test queries and graph levels.
        progress: told how far each stage is.
        encoder: an opened encoder to use instead of `models` and `model_id`.
        stand_in: whether that encoder stands in for the model that was meant.
        clock: seconds; only differences matter.

    Returns:
        What was built; `version` names it.

    Raises:
        InvalidInput: the name, or the file of items (see `read_catalogue`).
        ModelNotFound: the model has not been exported.
        EncodingFailed: the model gives vectors that cannot be indexed.
        PublishConflict: another build of this catalogue is under way.
        IndexFailure: the version could not be written.
    """
    folder = catalogue_folder(indexes, name)
    stages = _Stages(progress or _ignore, clock)
    if encoder is None:
        export = find_export(models, model_id)
        stand_in = ExportManifest.read(export).stand_in
        encoder = OnnxEncoder.open(export, threads=threads)
    with building(folder):
        with stages.stage("read") as report_rows:
            catalogue = read_catalogue(
                catalogue_path,
                columns,
                rejects_path=folder / REJECTS,
                max_reject_share=max_reject_share,
                progress=report_rows,
            )
        items = catalogue.items
        with stages.stage("encode", len(items)) as report_texts:
            vectors = encode_all(items, encoder, report_texts)
        with stages.stage("index", len(items)) as report_vectors:
            built = build_faiss(vectors, seed=seed, threads=threads, progress=report_vectors)
            report_vectors(len(items))
        with stages.stage("write", len(items)) as report_items:
            version = write_snapshot(
                indexes,
                name,
                items=items,
                vectors=vectors,
                built=built,
                provenance=_provenance(
                    catalogue_path, catalogue, columns, encoder, stand_in=stand_in, seed=seed
                ),
                created_at=now,
            )
            report_items(len(items))
    manifest = read_manifest(folder / version)
    return _report(manifest, built, folder / REJECTS, stages.seconds)


def encode_all(items: Sequence[Item], encoder: Encoder, progress: Callable[[int], None]) -> Vectors:
    """Encode the texts of all items, some hundred at a time.

    Returns:
        float32 (len(items), encoder.dim), C order, fit to be indexed.

    Raises:
        EncodingFailed: a wrong shape, or vectors that are NaN, infinite or zero, with their ids.
    """
    vectors = np.empty((len(items), encoder.dim), dtype=np.float32)
    for start in range(0, len(items), _TEXTS_AT_ONCE):
        texts = [item.text for item in items[start : start + _TEXTS_AT_ONCE]]
        part = encoder.encode_items(texts)
        if part.shape != (len(texts), encoder.dim):
            raise EncodingFailed(
                f"{encoder.identity} gave vectors of shape {part.shape} for {len(texts)} texts, "
                f"expected ({len(texts)}, {encoder.dim}); first id: {items[start].id!r}."
            )
        vectors[start : start + len(texts)] = part
        progress(start + len(texts))
    check_vectors(vectors, [item.id for item in items], encoder.dim)
    return vectors


def _provenance(
    path: Path,
    catalogue: Catalogue,
    columns: ColumnMap,
    encoder: Encoder,
    *,
    stand_in: bool,
    seed: int,
) -> Provenance:
    return Provenance(
        model=encoder.identity,
        stand_in=stand_in,
        template_pattern=columns.text.pattern,
        template_sha256=columns.text.sha256,
        # Only the name: where a file lay on the machine that built is nobody's business.
        source_name=path.name,
        source_sha256=catalogue.source_sha256,
        rejects=catalogue.rejects,
        seed=seed,
        tools={"onnxruntime": installed_version("onnxruntime")},
    )


def _report(
    manifest: Manifest, built: BuiltIndex, rejects: Path, seconds: Mapping[str, float]
) -> BuildReport:
    return BuildReport(
        catalogue=manifest.catalogue,
        version=manifest.version,
        items=manifest.items,
        rejects=manifest.rejects,
        rejects_path=rejects if manifest.rejects else None,
        dim=manifest.dim,
        factory=built.factory,
        recall_at_10=built.recall.at_10,
        recall_at_100=built.recall.at_100,
        seconds=seconds,
        size_bytes={path: entry.size_bytes for path, entry in manifest.files.items()},
    )


def _ignore(stage: str, done: int, total: int | None) -> None:
    """Report progress to nobody."""
