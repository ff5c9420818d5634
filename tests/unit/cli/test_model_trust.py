"""The verbs of trust as a person calls them: exit codes and words."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Magpie = Callable[..., Any]
REPOSITORY = Path(__file__).resolve().parents[3]
STAND_IN = "all-minilm-l6-v2"


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, magpie: Magpie) -> Path:
    """A models folder with the registry and the stand-in, pulled from its package."""
    folder = tmp_path / "models"
    folder.mkdir()
    for name in ("registry.toml", "licences.toml"):
        shutil.copy(REPOSITORY / "models" / name, folder)
    monkeypatch.setenv("MAGPIE_MODELS_DIR", str(folder))
    assert magpie("model", "pull", STAND_IN).code == 0
    return folder


def test_verify_says_what_is_wrong_by_exit_code_and_file(magpie: Magpie, models: Path) -> None:
    assert magpie("model", "verify", STAND_IN).code == 0
    weights = models / STAND_IN / "upstream" / "model.safetensors"
    weights.chmod(0o644)
    with weights.open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x7f")
    ran = magpie("model", "verify", STAND_IN)
    assert ran.code == 2
    assert "upstream/model.safetensors" in ran.err
    diff = magpie("model", "diff", STAND_IN)
    assert diff.code == 1
    assert "files/model.safetensors" in diff.out


def test_verify_asks_for_a_red_team_report_only_when_told(magpie: Magpie, models: Path) -> None:
    ran = magpie("model", "verify", STAND_IN, "--require-redteam")
    assert ran.code == 7
    assert "red-team.json: is missing" in ran.err


def test_verify_of_what_is_not_here_says_to_pull_it(magpie: Magpie, models: Path) -> None:
    ran = magpie("model", "verify", "gte-small")
    assert ran.code == 1
    assert "magpie model pull gte-small" in ran.err


def test_lock_diff_and_sbom_go_together(magpie: Magpie, models: Path) -> None:
    locked = magpie("model", "lock", STAND_IN)
    assert locked.code == 0
    assert "11 files" in locked.out
    assert magpie("model", "diff", STAND_IN).out.strip() == "no difference"
    document = json.loads(magpie("model", "sbom", STAND_IN).out)
    assert document["specVersion"] == "1.6"
    written = magpie("model", "sbom", STAND_IN, "--output", str(models / "sbom.json"))
    assert written.code == 0
    assert json.loads((models / "sbom.json").read_bytes())["bomFormat"] == "CycloneDX"


def test_pack_of_what_was_not_exported_says_so(magpie: Magpie, models: Path) -> None:
    ran = magpie("model", "pack", STAND_IN, "--output", str(models / "pack"))
    assert ran.code == 1
    assert "has not been exported" in ran.err


def test_a_licence_that_is_struck_off_blocks_and_is_code_5(magpie: Magpie, models: Path) -> None:
    (models / "licences.toml").write_text("schema_version = 1\n[allowed.MIT]\n")
    assert magpie("model", "verify", STAND_IN).code == 5
    ran = magpie("model", "pull", STAND_IN)
    assert ran.code == 1
    assert "Apache-2.0" in ran.err


def test_the_list_is_there_for_programs_too(magpie: Magpie, models: Path) -> None:
    rows = {row["id"]: row for row in json.loads(magpie("model", "list", "--json").out)}
    assert rows[STAND_IN]["here"] == "pulled"
    assert rows["bge-small-zh-v1.5"]["weights_bytes"] == 95_827_648
    assert rows["bge-m3"]["weights"] == ["pickle", "onnx"]


def test_the_list_shows_measured_speed_where_it_is_known(magpie: Magpie, models: Path) -> None:
    reports = models / STAND_IN / "reports"
    reports.mkdir()
    speed = {"texts_per_s": {"float32": 120.0, "int8": 400.0}, "machine": "a test"}
    (reports / "speed.json").write_text(json.dumps(speed))
    assert "400 int8" in magpie("model", "list").out
