"""ModelScope and folders: sources that cannot show a commit, so only hashes count."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from service.encoders.registry import ModelRecord
from service.errors import HashMismatch, HubUnavailable, ModelNotFound, ModelRejected
from service.pipelines.model_lock import ModelLock
from service.pipelines.pull_model import Origin, pull, verify_upstream

if TYPE_CHECKING:
    from tests.unit.pipelines.conftest import LocalHub

Files = dict[str, bytes]
RecordFor = Callable[..., ModelRecord]
Place = Callable[[Files, Path], Path]

NOW = datetime(2026, 11, 23, 10, 15, 2, tzinfo=UTC)
WEIGHTS = "model.safetensors"
DECISIVE = (WEIGHTS, "config.json", "tokenizer.json")


@pytest.fixture
def record(plain_model: Files, record_for: RecordFor) -> ModelRecord:
    return record_for(plain_model, pin=DECISIVE)


@pytest.fixture
def source(plain_model: Files, place: Place, tmp_path: Path) -> Path:
    return place(plain_model, tmp_path / "elsewhere")


def _pull(record: ModelRecord, tmp_path: Path, origin: Origin, hub: "LocalHub | None") -> Path:
    endpoint = None if hub is None else hub.url
    return pull(record, tmp_path / "models", endpoint=endpoint, now=NOW, origin=origin)


def test_modelscope_brings_the_same_bytes(
    hub: "LocalHub", record: ModelRecord, tmp_path: Path
) -> None:
    upstream = _pull(record, tmp_path, "modelscope", hub)
    found = {p.relative_to(upstream).as_posix(): p for p in upstream.rglob("*") if p.is_file()}
    assert {name: path.read_bytes() for name, path in found.items()} == hub.files
    lock = ModelLock.read(tmp_path / "models" / "tiny" / "lock.json")
    assert lock is not None
    assert lock.source == "modelscope"


@pytest.mark.parametrize("missing", DECISIVE)
@pytest.mark.parametrize("origin", ["modelscope", "folder"])
def test_what_decides_the_vectors_must_be_pinned_before_a_byte_is_asked_for(
    hub: "LocalHub",
    plain_model: Files,
    record_for: RecordFor,
    source: Path,
    tmp_path: Path,
    missing: str,
    origin: str,
) -> None:
    record = record_for(plain_model, pin=tuple(name for name in DECISIVE if name != missing))
    wanted: Origin = "modelscope" if origin == "modelscope" else source
    with pytest.raises(ModelRejected, match="only the hub can show"):
        _pull(record, tmp_path, wanted, hub)
    assert hub.requests == []


def test_a_lock_from_another_machine_is_pin_enough(
    hub: "LocalHub", plain_model: Files, record_for: RecordFor, source: Path, tmp_path: Path
) -> None:
    record = record_for(plain_model)
    pull(record, tmp_path / "first", endpoint=hub.url, now=NOW)
    lock = (tmp_path / "first" / "tiny" / "lock.json").read_bytes()
    (tmp_path / "models" / "tiny").mkdir(parents=True)
    (tmp_path / "models" / "tiny" / "lock.json").write_bytes(lock)
    _pull(record, tmp_path, source, None)
    verify_upstream(record, tmp_path / "models")


def test_modelscope_with_other_weights_is_refused_before_the_download(
    hub: "LocalHub", record: ModelRecord, tmp_path: Path
) -> None:
    hub.files[WEIGHTS] = hub.files[WEIGHTS][:-1] + b"!"
    with pytest.raises(HashMismatch, match=f"announces another {WEIGHTS}"):
        _pull(record, tmp_path, "modelscope", hub)
    assert len(hub.requests) == 1


def test_modelscope_that_lies_about_its_weights_is_found_out(
    hub: "LocalHub", record: ModelRecord, tmp_path: Path
) -> None:
    hub.sends[WEIGHTS] = hub.files[WEIGHTS][:-1] + b"!"
    with pytest.raises(HashMismatch, match=f"{WEIGHTS} has sha256"):
        _pull(record, tmp_path, "modelscope", hub)
    assert not (tmp_path / "models" / "tiny" / "upstream").exists()


def test_a_name_that_leaves_the_folder_is_refused_from_modelscope_too(
    hub: "LocalHub", record: ModelRecord, tmp_path: Path
) -> None:
    hub.files["../../config.json"] = b"{}"
    with pytest.raises(ModelRejected, match="leaves the folder"):
        _pull(record, tmp_path, "modelscope", hub)


@pytest.mark.parametrize("page", [b"", b"[]", b'{"Code": 200, "Data": null}', b"<html>"])
def test_a_page_that_is_not_modelscope_is_unavailable(
    hub: "LocalHub", record: ModelRecord, tmp_path: Path, page: bytes
) -> None:
    hub.status, hub.page = 200, page
    with pytest.raises(HubUnavailable, match="not ModelScope"):
        _pull(record, tmp_path, "modelscope", hub)


def test_an_unknown_name_on_modelscope_is_not_found(
    hub: "LocalHub", record: ModelRecord, tmp_path: Path
) -> None:
    with pytest.raises(ModelNotFound, match="ModelScope has no owner/other"):
        _pull(replace(record, hub_id="owner/other"), tmp_path, "modelscope", hub)


def test_a_folder_is_copied_and_its_strangers_stay_behind(
    record: ModelRecord, source: Path, plain_model: Files, tmp_path: Path
) -> None:
    (source / "pytorch_model.bin").write_bytes(b"pickle")
    (source / "modeling_tiny.py").write_text("import os")
    upstream = _pull(record, tmp_path, source, None)
    names = {p.relative_to(upstream).as_posix() for p in upstream.rglob("*") if p.is_file()}
    assert names == plain_model.keys()
    assert (upstream / WEIGHTS).stat().st_ino != (source / WEIGHTS).stat().st_ino


def test_a_symbolic_link_in_a_folder_is_refused_by_name(
    record: ModelRecord, source: Path, tmp_path: Path
) -> None:
    (source / "config.json").rename(tmp_path / "secret.json")
    (source / "config.json").symlink_to(tmp_path / "secret.json")
    with pytest.raises(ModelRejected, match=r"config\.json: is a symbolic link"):
        _pull(record, tmp_path, source, None)


def test_a_hard_link_in_a_folder_is_refused_by_name(
    record: ModelRecord, source: Path, tmp_path: Path
) -> None:
    (tmp_path / "elsewhere.bin").hardlink_to(source / WEIGHTS)
    with pytest.raises(ModelRejected, match=f"{WEIGHTS}: is a hard link"):
        _pull(record, tmp_path, source, None)


def test_a_folder_behind_a_link_is_refused(
    record: ModelRecord, source: Path, tmp_path: Path
) -> None:
    (source / "1_Pooling").rename(tmp_path / "pooling")
    (source / "1_Pooling").symlink_to(tmp_path / "pooling")
    with pytest.raises(ModelRejected, match=r"1_Pooling/config\.json.*behind a link"):
        _pull(record, tmp_path, source, None)


def test_other_weights_in_a_folder_are_refused(
    record: ModelRecord, source: Path, tmp_path: Path
) -> None:
    content = bytearray((source / WEIGHTS).read_bytes())
    content[-1] ^= 1
    (source / WEIGHTS).write_bytes(content)
    with pytest.raises(HashMismatch, match=f"{WEIGHTS} has sha256"):
        _pull(record, tmp_path, source, None)
    assert not (tmp_path / "models" / "tiny" / ".quarantine").exists()


@pytest.mark.parametrize("gone", ["modules.json", WEIGHTS])
def test_a_folder_that_lacks_a_part_is_refused(
    record: ModelRecord, source: Path, tmp_path: Path, gone: str
) -> None:
    (source / gone).unlink()
    with pytest.raises(ModelRejected, match=f"no {gone}"):
        _pull(record, tmp_path, source, None)


def test_a_folder_that_is_not_there_is_not_found(record: ModelRecord, tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match="not a folder"):
        _pull(record, tmp_path, tmp_path / "nowhere", None)


def test_the_publishers_graph_may_come_instead_of_the_weights(
    hub: "LocalHub", plain_model: Files, record_for: RecordFor, tmp_path: Path
) -> None:
    hub.files["onnx/model.onnx"] = b"a graph, looked at before it is run"
    record = record_for(hub.files, pin=(WEIGHTS, "onnx/model.onnx"))
    upstream = pull(record, tmp_path, endpoint=hub.url, now=NOW, weights="onnx")
    assert (upstream / "onnx" / "model.onnx").is_file()
    assert not (upstream / WEIGHTS).exists()
    verify_upstream(record, tmp_path)


def test_weights_in_several_files_come_together(
    hub: "LocalHub", plain_model: Files, record_for: RecordFor, tmp_path: Path
) -> None:
    whole = hub.files.pop(WEIGHTS)
    parts = [f"model-0000{n}-of-00002.safetensors" for n in (1, 2)]
    hub.files |= dict.fromkeys(parts, whole)
    index = f'{{"weight_map": {{"a": "{parts[0]}", "b": "{parts[1]}"}}}}'
    hub.files["model.safetensors.index.json"] = index.encode()
    upstream = pull(record_for(hub.files), tmp_path, endpoint=hub.url, now=NOW)
    assert {path.name for path in upstream.glob("*.safetensors")} == set(parts)


def test_what_comes_with_a_package_may_come_from_a_folder_all_the_same(
    record: ModelRecord, source: Path, tmp_path: Path
) -> None:
    packaged = replace(record, package="no-such-package-here")
    _pull(packaged, tmp_path, source, None)
    lock = ModelLock.read(tmp_path / "models" / "tiny" / "lock.json")
    assert lock is not None
    assert lock.source == "folder"
