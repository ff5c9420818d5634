"""One immutable index version: written whole or not at all, verified before it is opened."""

import hashlib
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import faiss
import numpy as np

from service import __version__
from service.artifacts import staged_folder
from service.catalogue.table import ItemTable, write_table
from service.errors import CorruptArtifact, IndexFailure
from service.index import layout
from service.index.faiss_index import FaissIndex
from service.index.manifest import FileEntry, Manifest
from service.index.retriever import Retriever
from service.index.tuning import BuiltIndex
from service.index.vectors import check_vectors, open_vectors, write_vectors
from service.index.verification import list_files, verify_folder
from service.types import Item, ModelCheck, ModelIdentity, Rows, Vectors


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a version's items and vectors come from.

    `tools` names further programs and their versions, beside those this layer knows itself;
    `model_lock` is the digest of the publisher's files that the model was made from.
    """

    model: ModelIdentity
    stand_in: bool
    template_pattern: str
    template_sha256: str
    source_name: str
    source_sha256: str
    rejects: int
    seed: int
    tools: Mapping[str, str]
    model_lock: str | None = None
    model_check: ModelCheck | None = None
    contained_changes: int = 0
    """Sequence of the last live change that went into the items, see `pending_changes`."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One version, opened. Everything in it is memory-mapped and read-only.

    `vectors` is float32 (n_items, dim), row i belongs to row i of `table`.
    """

    catalogue: str
    version: str
    manifest: Manifest
    table: ItemTable
    vectors: Vectors
    retriever: Retriever

    @property
    def name(self) -> str:
        """What an answer says it came from, e.g. `pins@2026-11-23T10-15-02Z-4f2a`."""
        return f"{self.catalogue}@{self.version}"

    @property
    def newest_first(self) -> Rows:
        """All rows, newest first: a catalogue file grows at its end. int64 (n_items,)."""
        return np.arange(len(self.table) - 1, -1, -1, dtype=np.int64)


def write_snapshot(
    indexes: Path,
    catalogue: str,
    *,
    items: Sequence[Item],
    vectors: Vectors,
    built: BuiltIndex,
    provenance: Provenance,
    created_at: datetime,
) -> str:
    """Write a new version and return its name. It is not served until it is published.

    Call it inside `layout.building`, which keeps others from sweeping up the unfinished folder.

    Args:
        indexes: the folder of all catalogues.
        catalogue: which one, `[a-z0-9][a-z0-9-]{0,62}`.
        items: row i of the version is items[i].
        vectors: float32 (len(items), dim).
        built: the FAISS index over these vectors.
        provenance: for the manifest.
        created_at: with a time zone; kept in UTC and whole seconds, see `layout.next_moment`.

    Raises:
        EncodingFailed: vectors that cannot be indexed, see `check_vectors`.
        IndexFailure: the disk refuses.
    """
    check_vectors(vectors, [item.id for item in items], int(vectors.shape[-1]))

    def write_parts(folder: Path) -> None:
        write_vectors(vectors, folder / layout.VECTORS)
        (folder / layout.ITEMS).mkdir()
        write_table(items, folder / layout.ITEMS)

    content = _content_sha256(vectors, provenance)
    return _write_version(
        indexes, catalogue, write_parts, vectors, built, provenance, content, created_at
    )


def adopt_snapshot(
    indexes: Path,
    catalogue: str,
    *,
    parts: Path,
    vectors: Vectors,
    built: BuiltIndex,
    provenance: Provenance,
    content_sha256: str,
    created_at: datetime,
) -> str:
    """Make a version of parts that lie on the disk already; they are moved, not copied.

    Args:
        indexes: see `write_snapshot`, as for everything not named here.
        catalogue: which one.
        parts: a folder on the same disk that holds `vectors.npy`, `items/` and, where there is
            one, `withheld.json`; the caller's to remove.
        vectors: its vectors, checked by `refuse_useless`, mapped.
        built: the FAISS index over these vectors.
        provenance: for the manifest.
        content_sha256: over everything that decides what the version holds.
        created_at: with a time zone.

    Raises:
        IndexFailure: the disk refuses.
    """

    def move_parts(folder: Path) -> None:
        for name in (layout.VECTORS, layout.ITEMS, layout.WITHHELD):
            if name != layout.WITHHELD or (parts / name).exists():
                (parts / name).rename(folder / name)

    return _write_version(
        indexes, catalogue, move_parts, vectors, built, provenance, content_sha256, created_at
    )


def _write_version(
    indexes: Path,
    catalogue: str,
    write_parts: Callable[[Path], None],
    vectors: Vectors,
    built: BuiltIndex,
    provenance: Provenance,
    content: str,
    created_at: datetime,
) -> str:
    home = layout.catalogue_folder(indexes, catalogue)
    created_at = layout.next_moment(home, created_at)
    version = layout.version_name(created_at, content)
    try:
        with staged_folder(home / version) as folder:
            write_parts(folder)
            _write_index(folder, vectors, built)
            manifest = Manifest(
                catalogue=catalogue,
                version=version,
                created_at=created_at,
                content_sha256=content,
                model=provenance.model,
                model_lock=provenance.model_lock,
                model_check=provenance.model_check,
                contained_changes=provenance.contained_changes,
                stand_in=provenance.stand_in,
                template_pattern=provenance.template_pattern,
                template_sha256=provenance.template_sha256,
                source_name=provenance.source_name,
                source_sha256=provenance.source_sha256,
                items=len(vectors),
                rejects=provenance.rejects,
                dim=int(vectors.shape[1]),
                factory=built.factory,
                ef_construction=built.ef_construction,
                ef_search=built.ef_search,
                recall=built.recall,
                seed=provenance.seed,
                tools={**provenance.tools, **_own_tools()},
                files={path: FileEntry.of(folder / path) for path in list_files(folder)},
            )
            (folder / layout.MANIFEST).write_bytes(manifest.to_json())
    except FileExistsError as error:
        raise IndexFailure(
            f"something called {version} lies in the folder of {catalogue} already.",
            "It is no whole version; move it away and build again.",
        ) from error
    except OSError as error:
        raise IndexFailure(
            f"{catalogue}/{version} could not be written: {error.strerror or error}.",
            "Nothing was left behind; see whether the disk is full or read-only.",
        ) from error
    return version


def open_snapshot(folder: Path, *, verify: bool = True) -> Snapshot:
    """Open a version folder.

    Args:
        folder: `<indexes>/<catalogue>/<version>`.
        verify: compare the sha256 of every file with the manifest before anything is opened.

    Raises:
        CorruptArtifact: a file is not the one that was built, or the parts do not fit together.
    """
    manifest = verify_folder(folder, hashes=verify)
    vectors = open_vectors(folder / layout.VECTORS, manifest.items, manifest.dim)
    table = ItemTable.open(folder / layout.ITEMS)
    if len(table) != manifest.items:
        raise CorruptArtifact(
            f"{folder.name}: the table has {len(table)} items, the manifest says {manifest.items}."
        )
    retriever = FaissIndex.open(
        folder / layout.INDEX, vectors, factory=manifest.factory, ef_search=manifest.ef_search
    )
    return Snapshot(manifest.catalogue, manifest.version, manifest, table, vectors, retriever)


def _write_index(folder: Path, vectors: Vectors, built: BuiltIndex) -> None:
    index = folder / layout.INDEX
    try:
        built.stored.write(index)
    except RuntimeError as error:
        raise IndexFailure(
            f"FAISS could not write {index.name}.", "See whether the disk is full."
        ) from error
    # FAISS does not look whether its last bytes reached the disk.
    FaissIndex.open(index, vectors, factory=built.factory, ef_search=built.ef_search)


def _content_sha256(vectors: Vectors, provenance: Provenance) -> str:
    digest = hashlib.sha256()
    for part in (
        provenance.model.digest,
        provenance.template_sha256,
        provenance.source_sha256,
        str(vectors.shape),
    ):
        digest.update(part.encode() + b"\n")
    digest.update(np.ascontiguousarray(vectors, dtype="<f4").data)
    return digest.hexdigest()


def _own_tools() -> dict[str, str]:
    return {
        "magpie": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "faiss": faiss.__version__,
    }
