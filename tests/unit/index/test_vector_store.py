"""Vectors that outlive a build."""

from pathlib import Path

import numpy as np
import pytest

from service.errors import IndexFailure
from service.index.vector_segment import Keys
from service.index.vector_store import TextKeys, VectorStore
from service.types import ModelIdentity, Vectors

MODEL = ModelIdentity("toy", "1" * 40, "ab" * 32)
TEMPLATE = "cd" * 32
DIM = 8


def opened(folder: Path, *, model: ModelIdentity = MODEL, dim: int = DIM) -> VectorStore:
    return VectorStore.open(folder, model, TEMPLATE, dim)


def keys_of(*numbers: int) -> Keys:
    return TextKeys(MODEL, TEMPLATE).keys([f"text {number}" for number in numbers])


def vectors_of(*numbers: int) -> Vectors:
    return np.array([[number] * DIM for number in numbers], dtype=np.float32)


def fill(store: VectorStore, segments: int, rows: int = 4) -> None:
    for segment in range(segments):
        numbers = range(segment * rows, (segment + 1) * rows)
        store.append(keys_of(*numbers), vectors_of(*numbers))
    store.refresh()


def files(store: VectorStore) -> list[Path]:
    return sorted(store.folder.glob("*.npy"))


def test_vectors_are_found_by_text_in_another_process_too(tmp_path: Path) -> None:
    fill(opened(tmp_path), segments=3)
    store = opened(tmp_path)
    positions = store.find(keys_of(11, 0, 99, 5))
    assert (positions >= 0).tolist() == [True, True, False, True]
    assert store.gather(positions[[0, 1, 3, 0]])[:, 0].tolist() == [11, 0, 5, 11]
    assert (len(store), store.dropped) == (12, 0)


def test_other_model_template_or_text_has_another_key() -> None:
    key = TextKeys(MODEL, TEMPLATE).key("a")
    assert key == TextKeys(MODEL, TEMPLATE).key("a")
    others = [
        TextKeys(ModelIdentity("toy", "1" * 40, "ac" * 32), TEMPLATE).key("a"),
        TextKeys(MODEL, "ce" * 32).key("a"),
        TextKeys(MODEL, TEMPLATE).key("b"),
    ]
    assert len({key, *others}) == 4


def test_models_do_not_share_a_folder(tmp_path: Path) -> None:
    fill(opened(tmp_path), segments=1)
    assert len(opened(tmp_path, model=ModelIdentity("toy", "1" * 40, "ff" * 32))) == 0


def test_keys_that_share_half_their_bits_are_told_apart(tmp_path: Path) -> None:
    store = opened(tmp_path)
    keys = keys_of(1, 2, 3)
    keys["high"] = 7
    store.append(keys[:2], vectors_of(1, 2))
    store.refresh()
    positions = store.find(keys)
    assert store.gather(positions[:2])[:, 0].tolist() == [1, 2]
    assert positions[2] == -1


@pytest.mark.parametrize("damage", ["flip", "cut", "grow", "empty", "swap"])
def test_damaged_segment_is_dropped_and_the_others_stay(tmp_path: Path, damage: str) -> None:
    fill(opened(tmp_path), segments=3)
    first, second, _ = files(opened(tmp_path))
    content = bytearray(second.read_bytes())
    if damage == "flip":
        content[len(content) // 2] ^= 1
    second.write_bytes(
        {
            "flip": bytes(content),
            "cut": bytes(content[:-1]),
            "grow": bytes(content) + b"\0",
            "empty": b"",
            "swap": first.read_bytes(),
        }[damage]
    )
    store = opened(tmp_path)
    assert (store.dropped, len(store)) == (1, 8)
    assert not second.exists()
    assert (store.find(keys_of(*range(12))) < 0).tolist() == [False] * 4 + [True] * 4 + [False] * 4
    assert opened(tmp_path).dropped == 0


def test_foreign_files_and_other_dimensions_are_dropped(tmp_path: Path) -> None:
    fill(opened(tmp_path), segments=1)
    (opened(tmp_path).folder / "notes.txt").write_text("hello")
    assert opened(tmp_path).dropped == 1
    store = opened(tmp_path, dim=DIM + 1)
    assert (store.dropped, len(store)) == (1, 0)


def test_what_a_crash_left_under_a_temporary_name_is_swept_up_silently(tmp_path: Path) -> None:
    folder = opened(tmp_path).folder
    (folder / ".000001-ab.npy.1234.tmp").write_bytes(b"torn")
    store = opened(tmp_path)
    assert store.dropped == 0
    assert [path.name for path in folder.iterdir()] == ["store.json"]


def test_small_segments_are_joined_and_lose_nothing(tmp_path: Path) -> None:
    store = opened(tmp_path)
    fill(store, segments=9)
    store.append(keys_of(0, 1), vectors_of(0, 1))  # twice, as after a crash while joining
    store.compact()
    assert len(files(store)) == 1
    for again in (store, opened(tmp_path)):
        assert (len(again), again.dropped) == (36, 0)
        assert again.gather(again.find(keys_of(*range(36))))[:, 0].tolist() == list(range(36))
    store.append(keys_of(99), vectors_of(99))
    store.compact()
    assert len(files(store)) == 2


def test_only_wanted_vectors_are_kept(tmp_path: Path) -> None:
    store = opened(tmp_path)
    fill(store, segments=3)
    assert store.keep_only(keys_of(1, 2, 9, 77)) == 9
    again = opened(tmp_path)
    assert len(again) == 3
    assert again.gather(again.find(keys_of(1, 2, 9)))[:, 0].tolist() == [1, 2, 9]
    assert again.keep_only(keys_of()) == 3
    assert files(again) == []


def test_disk_that_refuses_is_told_and_costs_nothing_stored(tmp_path: Path) -> None:
    store = opened(tmp_path)
    fill(store, segments=1)
    hidden = store.folder.with_name("hidden")
    store.folder.rename(hidden)
    with pytest.raises(IndexFailure, match="No such file"):
        store.append(keys_of(9), vectors_of(9))
    hidden.rename(store.folder)
    assert len(opened(tmp_path)) == 4
