"""From one machine to another in one file; every way in which that file may lie."""

import io
import json
import tarfile
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from service.artifacts import sha256_bytes, sha256_file
from service.encoders.exports import ExportManifest, find_export
from service.encoders.onnx_encoder import OnnxEncoder
from service.encoders.registry import ModelRecord
from service.errors import (
    CorruptArtifact,
    HashMismatch,
    LicenceRefused,
    MagpieError,
    ModelMismatch,
    ModelNotFound,
    ModelRejected,
)
from service.pipelines.model_lock import ModelLock, measure
from service.pipelines.model_pack import pack
from service.pipelines.model_provenance import new_lock
from service.pipelines.model_unpack import peek, unpack

Files = dict[str, bytes]
Members = list[tuple[tarfile.TarInfo, bytes]]
Tamper = Callable[[Members], None]

NOW = datetime(2026, 11, 23, 10, 15, 2, tzinfo=UTC)


@pytest.fixture
def record(plain_model: Files, record_for: Callable[..., ModelRecord]) -> ModelRecord:
    return replace(record_for(plain_model), id="toy")


@pytest.fixture
def models(
    record: ModelRecord,
    plain_model: Files,
    toy_models: Path,
    place: Callable[[Files, Path], Path],
    tmp_path: Path,
) -> Path:
    """The toy model's real export, made as if from files with a lock."""
    folder = tmp_path / "here" / "toy"
    files = measure(place(plain_model, folder / "upstream"))
    lock = new_lock(record, files, folder=folder, source="hub", now=NOW, tools={})
    lock.write(folder / "lock.json")
    (folder / "LICENSE").write_text("MIT")
    export = find_export(toy_models, "toy")
    copy = folder / "exports" / export.name
    names = ("model.onnx", "tokenizer.json")
    place({name: (export / name).read_bytes() for name in names}, copy)
    manifest = ExportManifest.read(export)
    manifest.model_copy(update={"upstream_digest": lock.digest}).write(copy)
    (copy.parent / "CURRENT").write_text(copy.name)
    return folder.parent


@pytest.fixture
def packed(record: ModelRecord, models: Path, tmp_path: Path) -> Path:
    target = tmp_path / "toy.magpie"
    pack(record, models, target)
    return target


@pytest.fixture
def tampered(packed: Path) -> Callable[[Tamper], Path]:
    """Write the pack again after something was done to its members."""

    def write(tamper: Tamper) -> Path:
        members = []
        with tarfile.open(packed, "r:") as tar:
            for member in tar:
                source = tar.extractfile(member)
                assert source is not None
                members.append((member, source.read()))
        tamper(members)
        with tarfile.open(packed, "w:", format=tarfile.GNU_FORMAT) as tar:
            for member, content in members:
                tar.addfile(member, io.BytesIO(content))
        return packed

    return write


def _info(name: str, size: int = 0, kind: bytes = tarfile.REGTYPE, to: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname = size, kind, to
    return info


def _relist(members: Members, change: Callable[[dict[str, object]], None]) -> None:
    """Change the manifest, which is the first member."""
    manifest = json.loads(members[0][1])
    change(manifest)
    text = json.dumps(manifest).encode()
    members[0] = (_info("manifest.json", len(text)), text)


def _listed(members: Members, name: str, content: bytes) -> None:
    """Replace a member and list it as if it belonged there."""
    number = next(n for n, (info, _) in enumerate(members) if info.name == name)
    members[number] = (_info(name, len(content)), content)
    entry = {"path": name, "size_bytes": len(content), "sha256": sha256_bytes(content)}

    def relist(manifest: dict[str, object]) -> None:
        old = manifest["members"]
        assert isinstance(old, list)
        manifest["members"] = [entry if each["path"] == name else each for each in old]

    _relist(members, relist)


def test_a_model_arrives_as_it_left(record: ModelRecord, packed: Path, tmp_path: Path) -> None:
    there = tmp_path / "there"
    assert unpack(packed, there, record=record, sha256=sha256_file(packed)) == "toy"
    export = find_export(there, "toy")
    assert OnnxEncoder.open(export).encode_items(["a red bird"]).shape == (1, 48)
    assert ModelLock.read(there / "toy" / "lock.json") is not None
    assert (there / "toy" / "LICENSE").read_text() == "MIT"
    assert json.loads((there / "toy" / "record.json").read_bytes())["hub_id"] == record.hub_id
    assert not list(there.glob(".staging-*"))


def test_the_same_model_packs_to_the_same_bytes(
    record: ModelRecord, models: Path, packed: Path, tmp_path: Path
) -> None:
    again = tmp_path / "again.magpie"
    assert pack(record, models, again) == sha256_file(packed)
    assert again.read_bytes() == packed.read_bytes()


def test_the_manifest_comes_first_and_can_be_read_alone(packed: Path) -> None:
    manifest = peek(packed)
    assert manifest.id == "toy"
    with tarfile.open(packed, "r:") as tar:
        names = tar.getnames()
    assert names == ["manifest.json", *(member.path for member in manifest.members)]


def test_unpacking_twice_changes_nothing(record: ModelRecord, packed: Path, tmp_path: Path) -> None:
    unpack(packed, tmp_path / "there", record=record)
    unpack(packed, tmp_path / "there", record=record)


def test_a_damaged_export_is_repaired_by_unpacking_again(
    record: ModelRecord, packed: Path, tmp_path: Path
) -> None:
    unpack(packed, tmp_path / "there", record=record)
    export = find_export(tmp_path / "there", "toy")
    (export / "model.onnx").write_bytes(b"damaged")
    unpack(packed, tmp_path / "there", record=record)
    ExportManifest.read(export).verify(export)


def _traversal(members: Members) -> None:
    members.append((_info("../escape", 1), b"x"))


def _extra(members: Members) -> None:
    members.append((_info("evil.py", 1), b"x"))


def _twice(members: Members) -> None:
    members.append(members[1])


def _symlink(members: Members) -> None:
    members[2] = (_info(members[2][0].name, kind=tarfile.SYMTYPE, to="/etc/passwd"), b"")


def _hard_link(members: Members) -> None:
    members[2] = (_info(members[2][0].name, kind=tarfile.LNKTYPE, to="manifest.json"), b"")


def _device(members: Members) -> None:
    members[2] = (_info(members[2][0].name, kind=tarfile.CHRTYPE), b"")


def _folder(members: Members) -> None:
    members.insert(1, (_info("exports", kind=tarfile.DIRTYPE), b""))


def _missing(members: Members) -> None:
    members.pop()


def _no_manifest(members: Members) -> None:
    members.pop(0)


def _listed_traversal(members: Members) -> None:
    def add(manifest: dict[str, object]) -> None:
        entries = manifest["members"]
        assert isinstance(entries, list)
        entries.append({"path": "../escape", "size_bytes": 1, "sha256": sha256_bytes(b"x")})

    _relist(members, add)
    members.append((_info("../escape", 1), b"x"))


def _foreign_id(members: Members) -> None:
    _relist(members, lambda manifest: manifest.update(id="../../etc"))


@pytest.mark.parametrize(
    ("tamper", "complaint"),
    [
        (_traversal, "'../escape' is not listed"),
        (_listed_traversal, "members"),
        (_foreign_id, "manifest.json: id"),
        (_extra, "'evil.py' is not listed"),
        (_twice, "comes twice"),
        (_symlink, "is a link"),
        (_hard_link, "is a link"),
        (_device, "is no plain file"),
        (_folder, "'exports' is not listed"),
        (_missing, "is listed but not there"),
        (_no_manifest, "does not begin with manifest.json"),
    ],
)
def test_what_a_pack_must_not_hold_is_refused_and_nothing_is_kept(
    tampered: Callable[[Tamper], Path], tmp_path: Path, tamper: Tamper, complaint: str
) -> None:
    file = tampered(tamper)
    with pytest.raises(ModelRejected, match=complaint):
        unpack(file, tmp_path / "there" / "models")
    left = [p for p in (tmp_path / "there").rglob("*") if p.is_file() and p.name != ".busy.tmp"]
    assert left == []
    assert not (tmp_path / "escape").exists()


def _flipped(members: Members) -> None:
    info, content = members[-1]
    members[-1] = (info, content[:-1] + bytes([content[-1] ^ 1]))


def _longer(members: Members) -> None:
    info, content = members[-1]
    info.size += 1
    members[-1] = (info, content + b"!")


@pytest.mark.parametrize("tamper", [_flipped, _longer])
def test_another_byte_is_refused(
    tampered: Callable[[Tamper], Path], tmp_path: Path, tamper: Tamper
) -> None:
    file = tampered(tamper)
    with pytest.raises(HashMismatch):
        unpack(file, tmp_path / "there")


def test_another_file_than_was_told_is_refused(packed: Path, tmp_path: Path) -> None:
    with pytest.raises(HashMismatch, match="not the file with sha256"):
        unpack(packed, tmp_path / "there", sha256="0" * 64)


def test_a_liar_who_keeps_the_hashes_in_order_meets_the_chain(
    tampered: Callable[[Tamper], Path], tmp_path: Path
) -> None:
    def forge(members: Members) -> None:
        name = next(info.name for info, _ in members if info.name.endswith("model.onnx"))
        _listed(members, name, b"another graph")

    file = tampered(forge)
    with pytest.raises(CorruptArtifact, match=r"model\.onnx"):
        unpack(file, tmp_path / "there")


def test_an_export_of_other_files_than_the_lock_names_is_refused(
    tampered: Callable[[Tamper], Path], tmp_path: Path
) -> None:
    def forge(members: Members) -> None:
        info, content = next(each for each in members if each[0].name.endswith("export.json"))
        export = json.loads(content) | {"upstream_digest": "0" * 64}
        _listed(members, info.name, json.dumps(export).encode())

    file = tampered(forge)
    with pytest.raises(ModelMismatch, match="the chain is broken between the lock of toy"):
        unpack(file, tmp_path / "there")


def test_a_pack_of_another_revision_than_the_registry_pins_is_refused(
    record: ModelRecord, packed: Path, tmp_path: Path
) -> None:
    with pytest.raises(HashMismatch, match="the revision the registry pins"):
        unpack(packed, tmp_path / "there", record=replace(record, revision="f" * 40))


def test_a_lock_that_is_here_already_decides(
    record: ModelRecord, packed: Path, tmp_path: Path, place: Callable[[Files, Path], Path]
) -> None:
    folder = tmp_path / "there" / "toy"
    files = measure(place({"config.json": b"{}"}, folder / "upstream"))
    lock = new_lock(record, files, folder=folder, source="hub", now=NOW, tools={})
    lock.write(folder / "lock.json")
    with pytest.raises(HashMismatch, match="other files than the pack"):
        unpack(packed, tmp_path / "there", record=record)


def test_the_licence_policy_of_the_receiver_counts(packed: Path, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "licences.toml").write_text("schema_version = 1\n[allowed.Zlib]\n")
    with pytest.raises(LicenceRefused):
        unpack(packed, tmp_path / "there")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x1f\x8b\x08" + b"\0" * 600])
def test_what_is_no_plain_tar_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(ModelRejected):
        unpack(tmp_path / "file", tmp_path / "there")


def test_a_pack_that_was_cut_short_is_refused(packed: Path, tmp_path: Path) -> None:
    content = packed.read_bytes()
    packed.write_bytes(content[: len(content) // 2])
    with pytest.raises(MagpieError):
        unpack(packed, tmp_path / "there")
    assert not (tmp_path / "there" / "toy" / "exports").exists()


def test_a_model_that_is_not_exported_cannot_be_packed(
    record: ModelRecord, models: Path, tmp_path: Path
) -> None:
    (models / "toy" / "exports" / "CURRENT").unlink()
    with pytest.raises(ModelNotFound):
        pack(record, models, tmp_path / "pack")
    assert not (tmp_path / "pack").exists()


def test_a_damaged_export_is_not_packed(record: ModelRecord, models: Path, tmp_path: Path) -> None:
    (find_export(models, "toy") / "tokenizer.json").write_text("{}")
    with pytest.raises(CorruptArtifact, match=r"tokenizer\.json"):
        pack(record, models, tmp_path / "pack")
