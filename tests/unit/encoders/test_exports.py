import shutil
from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from service.encoders.exports import (
    MANIFEST,
    ExportedFile,
    ExportManifest,
    export_digest,
    find_export,
    set_current,
)
from service.errors import CorruptArtifact, ModelMismatch, ModelNotFound

_FILES = {"model.onnx": ExportedFile(sha256="a" * 64, size_bytes=1)}


@pytest.fixture
def models(toy_models: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(toy_models, tmp_path / "models"))


def test_an_id_finds_the_current_export(models: Path) -> None:
    folder = find_export(models, "toy")
    assert ExportManifest.read(folder).identity.id == "toy"


def test_an_identity_finds_exactly_its_export(models: Path) -> None:
    folder = find_export(models, "toy")
    assert find_export(models, ExportManifest.read(folder).model) == folder


def test_a_model_that_was_never_exported_names_the_commands(models: Path) -> None:
    with pytest.raises(ModelNotFound, match="magpie model pull nonesuch"):
        find_export(models, "nonesuch")


def test_another_export_of_the_same_model_is_a_mismatch(models: Path) -> None:
    wanted = replace(ExportManifest.read(find_export(models, "toy")).model, digest="f" * 64)
    with pytest.raises(ModelMismatch, match="ffffffffffff"):
        find_export(models, wanted)


def test_the_same_digest_under_another_revision_is_a_mismatch(models: Path) -> None:
    wanted = replace(ExportManifest.read(find_export(models, "toy")).model, revision="other")
    with pytest.raises(ModelMismatch):
        find_export(models, wanted)


@pytest.mark.parametrize("name", ["", "gone", "../../toy", "/etc"])
def test_a_pointer_that_leads_nowhere_is_not_followed(models: Path, name: str) -> None:
    (models / "toy" / "exports" / "CURRENT").write_text(name, encoding="utf-8")
    with pytest.raises(ModelNotFound, match="CURRENT"):
        find_export(models, "toy")


def test_set_current_moves_the_pointer(models: Path) -> None:
    folder = find_export(models, "toy")
    other = Path(shutil.copytree(folder, folder.with_name("other")))
    set_current(other)
    assert find_export(models, "toy") == other


def test_an_intact_export_verifies(models: Path) -> None:
    folder = find_export(models, "toy")
    ExportManifest.read(folder).verify(folder)


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json"])
def test_one_flipped_byte_is_found_and_named(models: Path, name: str) -> None:
    folder = find_export(models, "toy")
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(CorruptArtifact, match=name):
        ExportManifest.read(folder).verify(folder)


def test_a_missing_file_is_found(models: Path) -> None:
    folder = find_export(models, "toy")
    (folder / "tokenizer.json").unlink()
    with pytest.raises(CorruptArtifact, match=r"tokenizer\.json"):
        ExportManifest.read(folder).verify(folder)


@pytest.mark.parametrize("change", [{"dim": 0}, {"surprise": 1}, {"pooling": "max"}])
def test_a_damaged_manifest_is_refused(models: Path, change: dict[str, object]) -> None:
    path = find_export(models, "toy") / MANIFEST
    path.write_bytes(orjson.dumps(orjson.loads(path.read_bytes()) | change))
    with pytest.raises(CorruptArtifact, match=next(iter(change))):
        ExportManifest.read(path.parent)


def test_whatever_decides_the_numbers_changes_the_digest() -> None:
    def digest(max_tokens: int = 16, query: str = "q", item: str = "i") -> str:
        return export_digest(
            _FILES, max_tokens=max_tokens, query_instruction=query, item_instruction=item
        )

    digests = {digest(), digest(max_tokens=17), digest(query=""), digest(item="")}
    other = {"model.onnx": ExportedFile(sha256="b" * 64, size_bytes=1)}
    digests.add(export_digest(other, max_tokens=16, query_instruction="q", item_instruction="i"))
    assert len(digests) == 5
    assert digest() == digest()
