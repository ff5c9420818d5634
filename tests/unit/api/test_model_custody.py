"""The service and the chain from a publisher's file to an answer: whole, or it does not start."""

import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from service.api.lifespan import open_live
from service.encoders.exports import ExportManifest, find_export
from service.errors import CorruptArtifact, MagpieError, ModelMismatch
from service.index.manifest import read_manifest
from service.index.publish import current_version, publish
from service.pipelines.build_index import build
from service.pipelines.quickstart import SAMPLE_COLUMNS
from service.settings import Settings

Edit = Callable[[Path], None]


@pytest.fixture
def settings(toy_models: Path, pins_indexes: Path, tmp_path: Path) -> Settings:
    """Copies of model and index, to be damaged."""
    shutil.copytree(toy_models, tmp_path / "models")
    shutil.copytree(pins_indexes, tmp_path / "indexes")
    return Settings(models_dir=tmp_path / "models", indexes_dir=tmp_path / "indexes")


def _version(settings: Settings) -> Path:
    return settings.indexes_dir / "pins" / current_version(settings.indexes_dir, "pins")


def _edit_export(settings: Settings, **fields: Any) -> None:
    path = find_export(settings.models_dir, "toy") / "export.json"
    path.write_text(json.dumps(json.loads(path.read_bytes()) | fields))


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def test_the_index_names_the_lock_and_every_answer_the_model(
    client: TestClient, pins_indexes: Path, toy_models: Path
) -> None:
    version = pins_indexes / "pins" / current_version(pins_indexes, "pins")
    manifest = read_manifest(version)
    exported = ExportManifest.read(find_export(toy_models, "toy"))
    assert manifest.model_lock == exported.upstream_digest
    assert manifest.model == exported.model
    answer = client.post("/recommend", json={"text": "a red bird"})
    assert answer.json()["model"] == str(manifest.model)


def test_a_whole_chain_is_served(settings: Settings) -> None:
    assert open_live(settings).current.snapshot.manifest.model.id == "toy"


def _lock_of_other_files(settings: Settings) -> None:
    lock = {"digest": "1" * 64, "files": [{"path": "config.json", "sha256": "2" * 64}]}
    (settings.models_dir / "toy" / "lock.json").write_text(json.dumps(lock))


def _graph(settings: Settings) -> None:
    _flip(find_export(settings.models_dir, "toy") / "model.onnx")


def _tokenizer(settings: Settings) -> None:
    _flip(find_export(settings.models_dir, "toy") / "tokenizer.json")


def _cut_off(settings: Settings) -> None:
    _edit_export(settings, max_tokens=7)


def _origin(settings: Settings) -> None:
    _edit_export(settings, upstream_digest="3" * 64)


def _other_export(settings: Settings) -> None:
    path = find_export(settings.models_dir, "toy")
    identity = json.loads((path / "export.json").read_bytes())["identity"] | {"revision": "other"}
    _edit_export(settings, identity=identity)


def _vectors(settings: Settings) -> None:
    (path,) = _version(settings).glob("vectors*")
    vectors = np.load(path)
    vectors[0] = -vectors[0]
    path.chmod(0o644)
    np.save(path, vectors)


def _index(settings: Settings) -> None:
    (path,) = _version(settings).glob("*.faiss")
    path.chmod(0o644)
    _flip(path)


def _index_lock(settings: Settings) -> None:
    path = _version(settings) / "manifest.json"
    path.chmod(0o644)
    manifest = read_manifest(path.parent).model_copy(update={"model_lock": "4" * 64})
    path.write_bytes(manifest.to_json())


@pytest.mark.parametrize(
    ("break_it", "error", "link"),
    [
        (_lock_of_other_files, ModelMismatch, "between the upstream files of toy and its lock"),
        (_tokenizer, CorruptArtifact, r"tokenizer\.json is not the file that was exported"),
        (_graph, CorruptArtifact, r"model\.onnx is not the file that was exported"),
        (_cut_off, ModelMismatch, "between tokenizer, graph and instructions of toy and its"),
        (_origin, ModelMismatch, "between the ONNX graph of toy and the index"),
        (_index_lock, ModelMismatch, "between the ONNX graph of toy and the index"),
        (_other_export, ModelMismatch, "wanted toy@"),
        (_vectors, CorruptArtifact, "vectors"),
        (_index, CorruptArtifact, r"faiss"),
    ],
)
def test_a_broken_link_keeps_the_service_from_starting_and_is_named(
    settings: Settings,
    break_it: Callable[[Settings], None],
    error: type[MagpieError],
    link: str,
) -> None:
    break_it(settings)
    with pytest.raises(error, match=link):
        open_live(settings)


def test_a_link_that_breaks_later_keeps_the_old_version(
    settings: Settings, pins_path: Path
) -> None:
    live = open_live(settings)
    old = live.current.snapshot.version
    now = datetime(2026, 12, 1, tzinfo=UTC)
    version = build(
        pins_path,
        SAMPLE_COLUMNS,
        name="pins",
        models=settings.models_dir,
        indexes=settings.indexes_dir,
        model_id="toy",
        now=now,
    ).version
    publish(settings.indexes_dir, "pins", version, now=now)
    _origin(settings)
    assert not live.refresh()
    assert live.current.snapshot.version == old
    assert "the chain is broken" in (live.last_error or "")


def test_an_index_is_not_built_with_a_broken_chain(settings: Settings, pins_path: Path) -> None:
    _cut_off(settings)
    with pytest.raises(ModelMismatch, match="the chain is broken"):
        build(
            pins_path,
            SAMPLE_COLUMNS,
            name="pins",
            models=settings.models_dir,
            indexes=settings.indexes_dir,
            model_id="toy",
            now=datetime(2026, 12, 1, tzinfo=UTC),
        )
