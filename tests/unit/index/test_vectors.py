from pathlib import Path

import numpy as np
import pytest

from service.errors import CorruptArtifact, EncodingFailed
from service.index.vectors import check_vectors, open_vectors, write_vectors
from service.types import ItemId, Vectors

IDS = [ItemId(f"pin-{row}") for row in range(10)]


@pytest.fixture
def vectors() -> Vectors:
    return np.random.default_rng(0).standard_normal((10, 4)).astype(np.float32) * 3


def test_vectors_of_any_length_pass(vectors: Vectors) -> None:
    check_vectors(vectors, IDS, 4)


def test_useless_vectors_are_counted_by_kind_and_named(vectors: Vectors) -> None:
    vectors[2, 1] = np.nan
    vectors[5, 0] = -np.inf
    vectors[7] = 1e30
    vectors[9] = 0
    with pytest.raises(EncodingFailed) as refusal:
        check_vectors(vectors, IDS, 4)
    message = str(refusal.value)
    assert "4 of 10 vectors" in message
    assert "3 NaN or infinite, 1 zero" in message
    assert "'pin-2', 'pin-5', 'pin-7', 'pin-9'" in message


def test_only_the_first_ids_are_named() -> None:
    with pytest.raises(EncodingFailed, match=r"10 of 10.*'pin-4'\.") as refusal:
        check_vectors(np.zeros((10, 4), np.float32), IDS, 4)
    assert "pin-5" not in str(refusal.value)


@pytest.mark.parametrize(
    "wrong",
    [np.ones((9, 4), np.float32), np.ones((10, 5), np.float32), np.ones((10, 4), np.float64)],
    ids=["rows", "dim", "type"],
)
def test_mis_sized_vectors_are_refused(wrong: Vectors) -> None:
    with pytest.raises(EncodingFailed, match=r"expected float32 \(10, 4\)"):
        check_vectors(wrong, IDS, 4)


def test_opened_vectors_are_the_written_ones_and_read_only(
    vectors: Vectors, tmp_path: Path
) -> None:
    write_vectors(np.asfortranarray(vectors), tmp_path / "v.npy")
    opened = open_vectors(tmp_path / "v.npy", 10, 4)
    np.testing.assert_array_equal(opened, vectors)
    with pytest.raises(ValueError, match="read-only"):
        opened[0, 0] = 1


@pytest.mark.parametrize(
    "wrong",
    [
        np.ones((9, 4), np.float32),
        np.ones((10, 4), np.float64),
        np.asfortranarray(np.ones((10, 4), np.float32)),
        np.array([{"a": 1}], dtype=object),
    ],
    ids=["rows", "type", "order", "pickle"],
)
def test_other_arrays_are_not_opened(wrong: Vectors, tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", wrong)
    with pytest.raises(CorruptArtifact, match=r"v\.npy"):
        open_vectors(tmp_path / "v.npy", 10, 4)


@pytest.mark.parametrize("content", [b"", b"not an array", b"\x93NUMPY\x01\x00"])
def test_files_that_are_no_arrays_are_not_opened(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "v.npy").write_bytes(content)
    with pytest.raises(CorruptArtifact, match=r"v\.npy"):
        open_vectors(tmp_path / "v.npy", 10, 4)
