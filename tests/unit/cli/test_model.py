import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Magpie = Callable[..., Any]
REGISTRY = Path(__file__).resolve().parents[3] / "models" / "registry.toml"


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "models"
    folder.mkdir()
    shutil.copy(REGISTRY, folder)
    return folder


def test_the_list_shows_licence_and_what_is_here(
    magpie: Magpie, registry: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAGPIE_MODELS_DIR", str(registry))
    listed = magpie("model", "list")
    assert listed.code == 0
    for word in ("bge-small-en-v1.5 *", "bge-small-zh-v1.5", "MIT", "Apache-2.0"):
        assert word in listed.out


def test_an_unknown_model_is_told_with_those_that_exist(
    magpie: Magpie, registry: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAGPIE_MODELS_DIR", str(registry))
    ran = magpie("model", "pull", "bge-enormous")
    assert ran.code == 1
    assert "bge-small-zh-v1.5" in ran.err


def test_a_hub_that_does_not_answer_is_told_in_plain_words(
    magpie: Magpie, registry: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAGPIE_MODELS_DIR", str(registry))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    ran = magpie("model", "pull", "bge-small-zh-v1.5")
    assert ran.code == 1
    assert "Traceback" not in ran.err
    assert "hub" in ran.err


def test_exporting_what_was_not_pulled_says_to_pull_it(
    magpie: Magpie, registry: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAGPIE_MODELS_DIR", str(registry))
    ran = magpie("model", "export", "gte-small")
    assert ran.code == 1
    assert "magpie model pull gte-small" in ran.err
