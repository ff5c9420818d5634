"""From a catalogue to a new index version: read, encode, index, write. Publishes nothing.

Nothing here grows with the size of an item: the table goes to the disk while it is read, vectors
go through the store, and what stays in memory is some 100 bytes an item and the FAISS index.
"""

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from service.catalogue.column_map import ColumnMap
from service.catalogue.reader import Source, as_source
from service.encoders.encoder import Encoder
from service.errors import IndexFailure
from service.index import layout
from service.index.built_index import BuiltIndex, build_faiss
from service.index.frontier import frontier_plot, frontier_table
from service.index.manifest import Manifest, read_manifest
from service.index.served_plan import served_plan
from service.index.snapshot import adopt_snapshot
from service.index.tuning import Tuned, Wish, tune
from service.index.vectors import release_pages
from service.pipelines.build_report import (
    WITHHELD_NAMED,
    BuildReport,
    Embedded,
    Progress,
    Stages,
    peak_memory_bytes,
)
from service.pipelines.embed_items import BATCH_TEXTS, encode_all
from service.pipelines.external_vectors import ExternalVectors
from service.pipelines.version_parts import REJECTS, VectorOrigin, VersionParts
from service.types import ItemId, Vectors

__all__ = ["REJECTS", "BuildReport", "Progress", "build", "encode_all"]

# Swept up with every other leftover of a crash by the next one who builds or publishes.
_WORK_PREFIX = ".staging-build-"


def build(
    source: Source | Path,
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
    external: ExternalVectors | None = None,
    force: bool = False,
    batch_texts: int = BATCH_TEXTS,
    wish: Wish | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> BuildReport:
    """Build a new version of a catalogue. It is not served until it is published.

    Texts that were encoded for an earlier version, or by a build that was interrupted, are not
    encoded again. Live changes that the served version lacks go into the new one.

    Args:
        source: files of items, or the path of one; see `read_items` for the formats.
        columns: how their rows become items.
        name: of the catalogue, `[a-z0-9][a-z0-9-]{0,62}`.
        models: the folder of models, with the exported model in it.
        indexes: the folder of all catalogues.
        model_id: which model to encode with.
        now: names the version.
        threads: cores to use. With one, the same input gives the same files.
        max_reject_share: 0 to 1; more rejected rows than that fail the build.
        seed: for test queries and graph levels.
        progress: told how far each stage is: `read`, `encode`, `gather`, `index`, `write`.
        encoder: an opened encoder to use instead of `models` and `model_id`.
        stand_in: whether that encoder stands in for the model that was meant.
        external: vectors to use instead of any encoder.
        force: use an export that failed its check, and say so in the manifest.
        batch_texts: texts encoded at once; what an interruption can cost.
        wish: tune: try many kinds of index and keep the cheapest like this; None: the type that
            the served version has, or the usual one.
        clock: seconds; only differences matter.

    Returns:
        What was built; `version` names it.

    Raises:
        InvalidInput: the name, or the catalogue (see `read_catalogue`).
        ModelNotFound: the model has not been exported.
        ParityFailed: the export failed its check, see `require_checked`.
        EncodingFailed: vectors that cannot be indexed.
        PublishConflict: another build of this catalogue is under way.
        IndexFailure: the version could not be written.
    """
    folder = layout.catalogue_folder(indexes, name)
    stages = Stages(progress or _ignore, clock)
    if external is not None:
        model = VectorOrigin(external.identity, external.dim, False, None, None, external)
    elif encoder is not None:
        model = VectorOrigin(encoder.identity, encoder.dim, stand_in, None, encoder, None)
    else:
        model = VectorOrigin.of_export(models, model_id, threads, force=force)
    with (
        _disk_failures_told(name),
        layout.building(folder),
        tempfile.TemporaryDirectory(prefix=_WORK_PREFIX, dir=folder) as work,
    ):
        making = VersionParts(Path(work), folder, as_source(source), columns, model, stages)
        read = making.read(max_reject_share)
        embedded, store_bytes = making.embed(read, batch_texts)
        vectors = making.open_vectors()
        with stages.stage("index", len(vectors)) as report_vectors:

            def report_indexed(done: int) -> None:
                # The index has its own copy by then; the file's pages would only add to it.
                release_pages(vectors)
                report_vectors(done)

            tuned = _tune(vectors, wish, seed, threads, stages) if wish else None
            built = (
                tuned.built
                if tuned
                else _build_like_served(indexes, name, vectors, seed, threads, report_indexed)
            )
            report_indexed(len(vectors))
        with stages.stage("write", len(vectors)) as report_items:
            version = adopt_snapshot(
                indexes,
                name,
                parts=Path(work),
                vectors=vectors,
                built=built,
                provenance=making.provenance(read, seed),
                content_sha256=making.content_sha256(read, seed),
                created_at=now,
            )
            report_items(len(vectors))
        report = _report(
            read_manifest(folder / version),
            built,
            folder / REJECTS,
            stages,
            embedded,
            store_bytes,
            read.withheld,
        )
        # While the lock is held: others sweep up unfinished reports.
        path = report.write(folder)
        if tuned and wish:
            path.with_suffix(".tuning.md").write_text(frontier_table(tuned), encoding="utf-8")
            plot = frontier_plot(tuned, wish.recall)
            path.with_suffix(".tuning.svg").write_text(plot, encoding="utf-8")
    return report


def _tune(vectors: Vectors, wish: Wish, seed: int, threads: int, stages: Stages) -> Tuned:
    return tune(
        vectors,
        wish,
        seed=seed,
        threads=threads,
        progress=lambda factory, done: stages.progress(f"try {factory}", done, None),
    )


def _build_like_served(
    indexes: Path,
    name: str,
    vectors: Vectors,
    seed: int,
    threads: int,
    progress: Callable[[int], None],
) -> BuiltIndex:
    """Build an index of the type that the served version was once tuned to, if there is one."""
    served = served_plan(indexes, name)
    return build_faiss(
        vectors,
        seed=seed,
        threads=threads,
        plan=served.plan,
        rescored=served.rescored,
        progress=progress,
    )


@contextmanager
def _disk_failures_told(name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise IndexFailure(
            f"the build of {name} could not write: {error.strerror or error}.",
            "See whether the disk is full or read-only, and build again: texts that were encoded "
            "are not encoded anew.",
        ) from error


def _report(
    manifest: Manifest,
    built: BuiltIndex,
    rejects: Path,
    stages: Stages,
    embedded: Embedded,
    store_bytes: int,
    withheld: Sequence[ItemId],
) -> BuildReport:
    return BuildReport(
        catalogue=manifest.catalogue,
        version=manifest.version,
        model=str(manifest.model),
        source=manifest.source_name,
        source_sha256=manifest.source_sha256,
        content_sha256=manifest.content_sha256,
        items=manifest.items,
        rejects=manifest.rejects,
        rejects_path=rejects if manifest.rejects else None,
        withheld=len(withheld),
        withheld_first=tuple(withheld[:WITHHELD_NAMED]),
        embedded=embedded,
        dim=manifest.dim,
        factory=built.factory,
        recall_at_10=built.recall.at_10,
        recall_at_100=built.recall.at_100,
        seconds=stages.seconds,
        size_bytes={path: entry.size_bytes for path, entry in manifest.files.items()},
        store_bytes=store_bytes,
        peak_memory_bytes=peak_memory_bytes(),
    )


def _ignore(stage: str, done: int, total: int | None) -> None:
    """Report progress to nobody."""
