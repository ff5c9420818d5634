"""Which stored vectors are still worth their place: those of the versions that are kept."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from service.catalogue.table import ItemTable
from service.index.layout import ITEMS
from service.index.manifest import Manifest, read_manifest
from service.index.vector_segment import KEY, Keys
from service.index.vector_store import FOLDER, TextKeys, VectorStore, store_folder

_TEXTS_AT_ONCE = 65_536


@dataclass(frozen=True, slots=True)
class PrunedVectors:
    """What went: whole stores, vectors in the others, and bytes in all."""

    stores: int
    vectors: int
    freed_bytes: int


def prune_vectors(catalogue: Path, versions: Sequence[str]) -> PrunedVectors:
    """Delete stored vectors that none of some versions has, and whole stores of other models.

    Call it inside `layout.building`, after deleting versions. Reads every text of every version.

    Args:
        catalogue: folder of the catalogue.
        versions: those to keep vectors for; without any, all vectors go.

    Raises:
        CorruptArtifact: a version cannot be read; nothing has been deleted for its sake.
        IndexFailure: the disk refuses.
    """
    stores = catalogue / FOLDER
    before = _size_bytes(stores)
    kept: dict[Path, list[Manifest]] = {}
    for version in versions:
        manifest = read_manifest(catalogue / version)
        folder = store_folder(catalogue, manifest.model, manifest.template_sha256)
        kept.setdefault(folder, []).append(manifest)
    gone_stores = gone_vectors = 0
    for folder in sorted(stores.iterdir()) if stores.is_dir() else []:
        manifests = kept.get(folder)
        if manifests is None:
            shutil.rmtree(folder)
            gone_stores += 1
            continue
        keys = np.concatenate([_keys_of(catalogue, manifest) for manifest in manifests])
        first = manifests[0]
        store = VectorStore.open(catalogue, first.model, first.template_sha256, first.dim)
        gone_vectors += store.keep_only(keys)
    return PrunedVectors(gone_stores, gone_vectors, before - _size_bytes(stores))


def _keys_of(catalogue: Path, manifest: Manifest) -> Keys:
    table = ItemTable.open(catalogue / manifest.version / ITEMS)
    text_keys = TextKeys(manifest.model, manifest.template_sha256)
    keys = np.empty(len(table), dtype=KEY)
    for start in range(0, len(table), _TEXTS_AT_ONCE):
        rows = range(start, min(start + _TEXTS_AT_ONCE, len(table)))
        keys[rows.start : rows.stop] = text_keys.keys([table.text(row) for row in rows])
    return keys


def _size_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
