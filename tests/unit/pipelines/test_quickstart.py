import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from service.encoders.exports import exports_folder
from service.errors import ModelNotFound
from service.index.publish import current_version, versions
from service.pipelines.quickstart import prepare
from service.settings import Settings

REGISTRY = """
schema_version = 1
default = "wanted"
fallback = "toy"

[models.wanted]
hub_id = "somebody/wanted"
revision = "0123456789012345678901234567890123456789"
licence = "MIT"
publisher = "Somebody"
languages = ["en"]
architecture = "BERT"
pooling = "mean"
dim = 48
max_tokens = 256

[models.toy]
hub_id = "somebody/toy"
revision = "1"
package = "toy-package"
licence = "MIT"
publisher = "Somebody"
languages = ["en"]
architecture = "bag of words"
pooling = "mean"
dim = 48
max_tokens = 256
stand_in = true

[models.toy.files]
"model.safetensors" = { sha256 = "ZEROS" }
""".replace("ZEROS", "0" * 64)


@pytest.fixture
def settings(tmp_path: Path, toy_models: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    shutil.copytree(toy_models / "toy", tmp_path / "models" / "toy")
    (tmp_path / "models" / "registry.toml").write_text(REGISTRY, encoding="utf-8")
    # Nobody listens there: a hub that does not answer.
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    return Settings(
        models_dir=tmp_path / "models", indexes_dir=tmp_path / "indexes", model="wanted"
    )


def ignore(*_: Any) -> None:
    pass


def test_the_stand_in_answers_where_the_wanted_model_is_not_here_and_says_so(
    settings: Settings, pins_path: Path
) -> None:
    (notice,) = prepare(settings, ignore, pins_path)
    assert "stand-in, not a Chinese model" in notice
    assert "magpie model pull wanted" in notice
    assert current_version(settings.indexes_dir, "pins")


def test_a_second_start_builds_nothing(settings: Settings, pins_path: Path) -> None:
    prepare(settings, ignore, pins_path)
    stages: list[str] = []
    prepare(settings, lambda stage, done, total: stages.append(stage), pins_path)
    assert stages == []
    assert len(versions(settings.indexes_dir, "pins")) == 1


def test_a_changed_catalogue_is_built_again(
    settings: Settings, pins_path: Path, tmp_path: Path
) -> None:
    changed = tmp_path / "pins.jsonl"
    lines = pins_path.read_text(encoding="utf-8").splitlines()
    changed.write_text("\n".join(lines), encoding="utf-8")
    prepare(settings, ignore, changed, now=lambda: datetime(2026, 11, 1, tzinfo=UTC))
    before = current_version(settings.indexes_dir, "pins")
    changed.write_text("\n".join(lines[:-1]), encoding="utf-8")
    prepare(settings, ignore, changed)
    assert current_version(settings.indexes_dir, "pins") != before


def test_a_damaged_index_is_built_again(settings: Settings, pins_path: Path) -> None:
    prepare(settings, ignore, pins_path, now=lambda: datetime(2026, 11, 1, tzinfo=UTC))
    before = current_version(settings.indexes_dir, "pins")
    index = settings.indexes_dir / "pins" / before / "index.faiss"
    index.write_bytes(index.read_bytes()[:-1] + b"\x01")
    stages: list[str] = []
    prepare(settings, lambda stage, done, total: stages.append(stage), pins_path)
    assert "encode" in stages
    assert current_version(settings.indexes_dir, "pins") != before


def test_without_a_hub_the_stand_in_is_pulled_and_exported(
    settings: Settings, pins_path: Path
) -> None:
    shutil.rmtree(exports_folder(settings.models_dir, "toy"))
    stages: list[str] = []
    # Its package is not installed here, so that is as far as this test can go.
    with pytest.raises(ModelNotFound, match="toy-package"):
        prepare(settings, lambda stage, done, total: stages.append(stage), pins_path)
