import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Magpie = Callable[..., Any]

REGISTRY = """
schema_version = 1
default = "toy"
fallback = "toy"

[models.toy]
hub_id = "owner/toy"
revision = "0000000000000000000000000000000000000007"
licence = "Apache-2.0"
publisher = "nobody"
languages = ["en"]
architecture = "a random vector a word"
pooling = "mean"
dim = 48
max_tokens = 256
"""


@pytest.fixture
def models(toy_models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    copy = tmp_path / "models"
    shutil.copytree(toy_models, copy)
    (copy / "registry.toml").write_text(REGISTRY, encoding="utf-8")
    monkeypatch.setenv("MAGPIE_MODELS_DIR", str(copy))
    return copy


@pytest.fixture
def films(tmp_path: Path) -> Path:
    path = tmp_path / "films.csv"
    path.write_text("movieId,title,genres\n1,Heat,Crime|Drama\n2,Sabrina,Romance\n3,Jumanji,Fun\n")
    return path


def test_a_check_prints_figures_and_leaves_a_report_and_a_page(
    magpie: Magpie, models: Path, films: Path
) -> None:
    ran = magpie(
        "model", "check", "toy", "--catalogue", str(films), "--id", "movieId",
        "--text", "{title}. {genres}", "--split", "genres=|", "--lock-golden",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    assert "distance from golden vectors" in ran.out
    assert "passed" in ran.out
    (page,) = (models / "toy" / "reports").glob("*.html")
    assert str(page) in ran.out.replace("\n", "")
    assert page.with_suffix(".json").is_file()
    assert (models / "toy" / "golden.json").is_file()


def test_a_failed_gate_exits_with_1_and_names_the_gate(
    magpie: Magpie, models: Path, films: Path
) -> None:
    arguments = ("model", "check", "toy", "--catalogue", str(films), "--id", "movieId",
                 "--text", "title")  # fmt: skip
    assert magpie(*arguments, "--lock-golden").code == 0
    golden = models / "toy" / "golden.json"
    golden.write_text(re.sub(r'"first":\[[-.0-9]+', '"first":[0.5', golden.read_text()))
    ran = magpie(*arguments)
    assert ran.code == 1
    assert "distance from golden vectors" in ran.err
    assert "Traceback" not in ran.err


def test_queries_without_a_catalogue_are_refused(magpie: Magpie, models: Path) -> None:
    ran = magpie("model", "check", "toy", "--queries", "queries.jsonl")
    assert ran.code == 1
    assert "--queries needs --catalogue" in ran.err


def test_an_unknown_digest_is_told(magpie: Magpie, models: Path, films: Path) -> None:
    ran = magpie("model", "check", "toy", "--export", "0123", "--catalogue", str(films))
    assert ran.code == 1
    assert "0 exports of toy" in ran.err
