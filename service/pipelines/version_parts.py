"""The parts of a version that is being built, table and vectors, in a folder of its own."""

import hashlib
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Self

import numpy as np

from service.catalogue.column_map import ColumnMap
from service.catalogue.reader import Source, Tally, read_catalogue
from service.catalogue.table import ItemTable, TableWriter, writing_table
from service.encoders.custody import check_custody
from service.encoders.encoder import Encoder
from service.encoders.exports import ExportManifest, find_export
from service.encoders.onnx_encoder import OnnxEncoder
from service.index import layout
from service.index.pending import pending_changes
from service.index.snapshot import Provenance
from service.index.vector_segment import KEY, Keys
from service.index.vector_store import TextKeys, VectorStore
from service.index.vectors import open_vectors, refuse_useless, release_pages
from service.index.withheld import write_withheld
from service.pipelines.build_report import Embedded, Stages
from service.pipelines.carry_changes import CarriedChanges
from service.pipelines.check_report import require_checked
from service.pipelines.embed_items import embed_items
from service.pipelines.external_vectors import ExternalVectors
from service.pipelines.licence_policy import LicencePolicy, check_licence
from service.types import Item, ItemId, ModelCheck, ModelIdentity, Vectors

REJECTS = "REJECTS.jsonl"
"""Rows the latest build left out, in the catalogue's folder; absent when there were none."""


@dataclass(frozen=True, slots=True)
class VectorOrigin:
    """What makes the vectors: an encoder, or a file of vectors."""

    identity: ModelIdentity
    dim: int
    is_stand_in: bool
    lock: str | None
    encoder: Encoder | None
    external: ExternalVectors | None
    check: ModelCheck | None = None

    @classmethod
    def of_export(cls, models: Path, model_id: str, threads: int, *, force: bool = False) -> Self:
        """Open the exported model of an id; with `force` also one that failed its check.

        Raises:
            ParityFailed: it failed its check.
            ModelNotFound: the model has not been exported.
            LicenceRefused, ModelMismatch: it may not be used, or is not what it says it is.
        """
        export = find_export(models, model_id)
        exported = ExportManifest.read(export)
        check_licence(model_id, exported.licence, LicencePolicy.load(models))
        check_custody(models, exported, index_lock=None)
        check = require_checked(export, force=force)
        encoder = OnnxEncoder.open(export, threads=threads)
        return cls(
            encoder.identity,
            encoder.dim,
            exported.stand_in,
            exported.upstream_digest,
            encoder,
            None,
            check,
        )


@dataclass(frozen=True, slots=True)
class ReadItems:
    """What reading a catalogue gave, beside the table.

    Attributes:
        tally: of the source.
        keys: of the texts.
        changes: sequence of the last live change that is in the table.
        withheld: items that the source holds and the table does not: they were deleted here.
    """

    tally: Tally
    keys: Keys
    changes: int
    withheld: Sequence[ItemId]


@dataclass(slots=True)
class _Rows:
    """The items on their way into the table, and the keys of their texts."""

    table: TableWriter
    text_keys: TextKeys
    external: ExternalVectors | None
    _halves: "array[int]" = field(default_factory=lambda: array("Q"))

    def take(self, item: Item, position: int) -> None:
        self.table.add(item)
        if self.external is None:
            self._halves.extend(self.text_keys.key(item.text))
        else:
            self.external.take(item, position)

    def keys(self) -> Keys:
        return np.frombuffer(self._halves, dtype=KEY)


@dataclass(frozen=True, slots=True)
class VersionParts:
    """One version on its way: what it is made of, and the folder it is made in."""

    work: Path
    catalogue: Path
    source: Source
    columns: ColumnMap
    model: VectorOrigin
    stages: Stages

    def read(self, max_reject_share: float) -> ReadItems:
        """Write the table, and which items are withheld from it."""
        pending = pending_changes(self.catalogue.parent, self.catalogue.name)
        changes = CarriedChanges(pending.changes, self.columns.text, pending.withheld)
        (self.work / layout.ITEMS).mkdir()
        external = self.model.external
        with (
            self.stages.stage("read") as report_rows,
            writing_table(self.work / layout.ITEMS) as table,
        ):
            rows = _Rows(table, self._text_keys(), external)
            tally = read_catalogue(
                self.source,
                self.columns,
                take=lambda item, position: changes.apply(
                    item, lambda changed: rows.take(changed, position)
                ),
                rejects_path=self.catalogue / REJECTS,
                max_reject_share=max_reject_share,
                refuse=external.refuse if external else None,
                progress=report_rows,
            )
            changes.finish(lambda item: rows.take(item, -1))
        write_withheld(self.work, changes.withheld)
        return ReadItems(tally, rows.keys(), pending.through, changes.withheld)

    def embed(self, read: ReadItems, batch_texts: int) -> tuple[Embedded, int]:
        """Write the vectors; returns where they came from, and the size of the store."""
        path = self.work / layout.VECTORS
        if self.model.external is not None:
            rows_read = read.tally.items + read.tally.rejects
            return self.model.external.write(path, rows_read, self.stages), 0
        assert self.model.encoder is not None  # one of the two makes the vectors
        store = VectorStore.open(
            self.catalogue, self.model.identity, self.columns.text.sha256, self.model.dim
        )
        embedded = embed_items(
            ItemTable.open(self.work / layout.ITEMS),
            read.keys,
            self.model.encoder,
            store,
            path,
            self.stages,
            batch_texts=batch_texts,
        )
        store.compact()
        return embedded, store.size_bytes

    def open_vectors(self) -> Vectors:
        """Map the vectors, after a last look at them.

        Raises:
            EncodingFailed: some are NaN, infinite or zero.
        """
        table = ItemTable.open(self.work / layout.ITEMS)
        vectors = open_vectors(self.work / layout.VECTORS, len(table), self.model.dim)
        refuse_useless(vectors, table.id)
        release_pages(vectors)
        return vectors

    def provenance(self, read: ReadItems, seed: int) -> Provenance:
        """Say where items and vectors come from."""
        tools = {"onnxruntime": installed_version("onnxruntime")}
        return Provenance(
            model=self.model.identity,
            stand_in=self.model.is_stand_in,
            template_pattern=self.columns.text.pattern,
            template_sha256=self.columns.text.sha256,
            # Only the name: where a file lay on the machine that built is nobody's business.
            source_name=self.source.name,
            source_sha256=read.tally.source_sha256,
            rejects=read.tally.rejects,
            seed=seed,
            tools={} if self.model.external else tools,
            model_lock=self.model.lock,
            model_check=self.model.check,
            contained_changes=read.changes,
        )

    def content_sha256(self, read: ReadItems, seed: int) -> str:
        """Digest everything that decides what the version holds.

        Not the vectors themselves: a model rounds differently with every company in a batch, so
        a version that reuses vectors may differ from one that does not in their last bits.
        """
        split = "\n".join(f"{key}={mark}" for key, mark in sorted(self.columns.split.items()))
        parts = (
            self.model.identity.digest,
            self.columns.text.sha256,
            read.tally.source_sha256,
            self.model.external.sha256 if self.model.external else "",
            f"{self.columns.id}\n{split}",
            f"{read.tally.items} {self.model.dim} {seed} {read.changes}",
            *read.withheld,
        )
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()

    def _text_keys(self) -> TextKeys:
        return TextKeys(self.model.identity, self.columns.text.sha256)
