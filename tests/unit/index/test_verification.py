import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from service.errors import CorruptArtifact
from service.index.verification import fingerprint, list_files, verify_folder

WriteVersion = Callable[..., str]


@pytest.fixture
def folder(write_version: WriteVersion, indexes: Path) -> Path:
    return indexes / "pins" / write_version()


def test_untouched_version_is_whole(folder: Path) -> None:
    assert set(verify_folder(folder).files) | {"manifest.json"} == set(list_files(folder))


def test_sizes_alone_do_not_show_a_flipped_bit(folder: Path) -> None:
    content = bytearray((folder / "vectors.npy").read_bytes())
    content[-1] ^= 1
    (folder / "vectors.npy").write_bytes(content)
    verify_folder(folder, hashes=False)
    with pytest.raises(CorruptArtifact, match=r"vectors\.npy is not the file that was built"):
        verify_folder(folder)


def test_giant_in_a_small_files_place_is_not_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.truncate(folder / "vectors.npy", 1 << 40)
    monkeypatch.setattr("service.index.verification.sha256_file", None)
    with pytest.raises(CorruptArtifact, match="has 1099511627776 bytes"):
        verify_folder(folder)


@pytest.mark.parametrize("link", ["soft", "hard", "folder"])
def test_links_are_refused(folder: Path, tmp_path: Path, link: str) -> None:
    file = folder / "vectors.npy"
    if link == "soft":
        shutil.move(file, tmp_path / "elsewhere")
        file.symlink_to(tmp_path / "elsewhere")
    elif link == "hard":
        os.link(file, tmp_path / "elsewhere")
    else:
        shutil.move(folder, tmp_path / "elsewhere")
        folder.symlink_to(tmp_path / "elsewhere")
    for look in (verify_folder, fingerprint):
        with pytest.raises(CorruptArtifact, match="link"):
            look(folder)


def test_fingerprint_stays_while_nobody_writes(folder: Path) -> None:
    before = fingerprint(folder)
    verify_folder(folder)
    assert fingerprint(folder) == before


def test_fingerprint_shows_a_write_even_if_the_times_are_set_back(folder: Path) -> None:
    before, file = fingerprint(folder), folder / "vectors.npy"
    times = file.stat()
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert fingerprint(folder) != before


def test_copy_of_a_version_has_another_fingerprint(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "pins" / folder.name
    shutil.copytree(folder, copy)
    verify_folder(copy)
    assert fingerprint(copy) != fingerprint(folder)
