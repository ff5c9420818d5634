import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from service.errors import CorruptArtifact, EncodingFailed, IndexFailure, InvalidCatalogue
from service.index.snapshot import Provenance, open_snapshot, write_snapshot
from service.index.tuning import build_faiss
from service.types import Item, ItemId, ModelIdentity, Vectors

WriteVersion = Callable[..., str]


@pytest.fixture
def provenance(model: ModelIdentity) -> Provenance:
    return Provenance(model, False, "{title}", "a" * 64, "x.jsonl", "b" * 64, 0, 1, {})


def test_written_version_opens_with_everything_in_its_place(
    write_version: WriteVersion, indexes: Path
) -> None:
    version = write_version(items=30)
    snapshot = open_snapshot(indexes / "pins" / version)
    assert snapshot.name == f"pins@{version}"
    assert len(snapshot.table) == snapshot.retriever.size == len(snapshot.vectors) == 30
    row = snapshot.table.row("pin-7")
    assert row == 7
    found, _ = snapshot.retriever.search(snapshot.vectors[row : row + 1], 30)
    assert sorted(found[0].tolist()) == list(range(30))
    assert snapshot.newest_first.tolist() == list(range(29, -1, -1))


def test_same_input_gives_the_same_files(
    indexes: Path, now: datetime, provenance: Provenance
) -> None:
    items = [Item(ItemId(str(row)), f"text {row}", {"n": row}) for row in range(20)]
    vectors = np.random.default_rng(0).standard_normal((20, 4)).astype(np.float32)
    first, second = (
        write_snapshot(
            indexes / place,
            "pins",
            items=items,
            vectors=vectors,
            built=build_faiss(vectors, seed=1),
            provenance=provenance,
            created_at=now,
        )
        for place in ("a", "b")
    )
    manifests = [
        (indexes / place / "pins" / version / "manifest.json").read_bytes()
        for place, version in (("a", first), ("b", second))
    ]
    assert manifests[0] == manifests[1]


@pytest.mark.parametrize("damage", ["duplicate id", "NaN"])
def test_failure_inside_leaves_nothing_behind(
    indexes: Path, now: datetime, provenance: Provenance, damage: str
) -> None:
    vectors = np.ones((2, 4), np.float32)
    built = build_faiss(vectors, seed=1)
    ids = ("a", "a") if damage == "duplicate id" else ("a", "b")
    if damage == "NaN":
        vectors[1, 1] = np.nan
    with pytest.raises((InvalidCatalogue, EncodingFailed)):
        write_snapshot(
            indexes,
            "pins",
            items=[Item(ItemId(item_id), "text") for item_id in ids],
            vectors=vectors,
            built=built,
            provenance=provenance,
            created_at=now,
        )
    folder = indexes / "pins"
    assert not folder.exists() or list(folder.iterdir()) == []


def test_version_of_the_same_moment_and_content_is_a_later_one(
    indexes: Path, now: datetime, provenance: Provenance
) -> None:
    vectors = np.ones((1, 4), np.float32)

    def write() -> str:
        return write_snapshot(
            indexes,
            "pins",
            items=[Item(ItemId("a"), "text")],
            vectors=vectors,
            built=build_faiss(vectors, seed=1),
            provenance=provenance,
            created_at=now,
        )

    first, second = write(), write()
    assert first < second
    for version in (first, second):
        open_snapshot(indexes / "pins" / version)


def test_refused_disk_is_reported_and_leaves_nothing(
    indexes: Path, now: datetime, provenance: Provenance
) -> None:
    (indexes).mkdir()
    (indexes / "pins").write_text("a file where the folder should be", encoding="utf-8")
    vectors = np.ones((1, 4), np.float32)
    with pytest.raises(IndexFailure):
        write_snapshot(
            indexes,
            "pins",
            items=[Item(ItemId("a"), "text")],
            vectors=vectors,
            built=build_faiss(vectors, seed=1),
            provenance=provenance,
            created_at=now,
        )
    assert list(indexes.iterdir()) == [indexes / "pins"]


FILES = ["vectors.npy", "index.faiss", "items/items.jsonl", "items/columns.json", "manifest.json"]


@pytest.mark.parametrize("path", FILES)
def test_one_flipped_bit_is_refused(write_version: WriteVersion, indexes: Path, path: str) -> None:
    folder = indexes / "pins" / write_version()
    content = bytearray((folder / path).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / path).write_bytes(content)
    with pytest.raises(CorruptArtifact, match=Path(path).name):
        open_snapshot(folder)


@pytest.mark.parametrize("path", FILES)
@pytest.mark.parametrize("change", ["cut", "append", "remove", "symlink", "hard link", "huge"])
def test_damaged_file_is_refused_and_named(
    write_version: WriteVersion, indexes: Path, tmp_path: Path, path: str, change: str
) -> None:
    folder = indexes / "pins" / write_version()
    damage(folder / path, change, tmp_path / "elsewhere")
    for verify in (True, False):
        with pytest.raises(CorruptArtifact, match=Path(path).name) as refusal:
            open_snapshot(folder, verify=verify)
        assert folder.name in str(refusal.value)


def damage(file: Path, change: str, elsewhere: Path) -> None:
    content = file.read_bytes()
    if change == "cut":
        file.write_bytes(content[:-1])
    elif change == "append":
        file.write_bytes(content + b"\0")
    elif change == "huge":
        os.truncate(file, 1 << 40)
    elif change == "hard link":
        elsewhere.hardlink_to(file)
    else:
        file.unlink()
        if change == "symlink":
            elsewhere.write_bytes(content)
            file.symlink_to(elsewhere)


@pytest.mark.parametrize("path", ["extra.txt", "items/columns/9999.rows.npy", ".hidden"])
def test_extra_file_is_refused_and_named(
    write_version: WriteVersion, indexes: Path, path: str
) -> None:
    folder = indexes / "pins" / write_version()
    (folder / path).write_bytes(b"x")
    with pytest.raises(CorruptArtifact, match=f"{path} does not belong here"):
        open_snapshot(folder)


def test_special_file_is_refused_without_waiting_for_it(
    write_version: WriteVersion, indexes: Path
) -> None:
    folder = indexes / "pins" / write_version()
    os.mkfifo(folder / "pipe")
    with pytest.raises(CorruptArtifact, match="pipe is a link or a special file"):
        open_snapshot(folder)


def test_files_of_another_version_are_refused(write_version: WriteVersion, indexes: Path) -> None:
    old, new = (indexes / "pins" / write_version() for _ in range(2))
    (new / "vectors.npy").write_bytes((old / "vectors.npy").read_bytes())
    with pytest.raises(CorruptArtifact, match=r"vectors\.npy"):
        open_snapshot(new)


def test_manifest_of_another_version_is_refused(write_version: WriteVersion, indexes: Path) -> None:
    old, new = (indexes / "pins" / write_version() for _ in range(2))
    (new / "manifest.json").write_bytes((old / "manifest.json").read_bytes())
    with pytest.raises(CorruptArtifact, match=f"belongs to pins/{old.name}"):
        open_snapshot(new)


def test_renamed_or_linked_version_is_refused(write_version: WriteVersion, indexes: Path) -> None:
    folder = indexes / "pins" / write_version()
    link = folder.with_name("2026-11-23T10-15-02Z-ffff")
    link.symlink_to(folder)
    with pytest.raises(CorruptArtifact, match="is a link"):
        open_snapshot(link)
    link.unlink()
    with pytest.raises(CorruptArtifact, match="belongs to"):
        open_snapshot(folder.rename(link))


def test_unequal_norms_survive_the_way_to_the_disk_and_back(
    write_version: WriteVersion, indexes: Path, make_vectors: Callable[..., Vectors]
) -> None:
    snapshot = open_snapshot(indexes / "pins" / write_version(items=30, dim=8))
    np.testing.assert_array_equal(snapshot.vectors, make_vectors(30, 8, seed=1))
    assert np.ptp(np.linalg.norm(snapshot.vectors, axis=1)) > 0.5
