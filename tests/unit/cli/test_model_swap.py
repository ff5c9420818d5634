import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from service.encoders.exports import find_export
from service.encoders.onnx_encoder import OnnxEncoder
from service.index.manifest import read_manifest
from service.index.publish import current_version
from tests.conftest import write_toy_model

Magpie = Callable[..., Any]

FILMS = """id,title
1,Toy Story
2,Jumanji
3,Heat
4,Sabrina
"""


@pytest.fixture
def films(
    magpie: Magpie,
    tmp_path: Path,
    toy_models: Path,
    pins_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Magpie:
    """The command line with two models and a published catalogue of films."""
    models = tmp_path / "models"
    shutil.copytree(toy_models, models)
    write_toy_model(models, pins_path.read_text("utf-8").splitlines(), name="toy2", seed=8)
    monkeypatch.setenv("MAGPIE_MODELS_DIR", str(models))
    source = tmp_path / "films.csv"
    source.write_text(FILMS, encoding="utf-8")
    built = magpie("index", "build", str(source), "--name", "films", "--text", "title", "--publish")
    assert built.code == 0, built.err
    return magpie


def test_a_swap_is_compared_switched_and_taken_back(films: Magpie, tmp_path: Path) -> None:
    queries = tmp_path / "queries.jsonl"
    queries.write_text('{"query": "Heat", "relevant": ["3"]}\n')
    swapped = films(
        "model", "swap", "toy2", "--catalogue", "films", "--queries", str(queries), "--switch"
    )
    assert swapped.code == 0, swapped.err
    for word in ("toy@", "toy2@", "texts/s", "ms", "MB", "NDCG@10 changes by"):
        assert word in swapped.out
    assert "Back again: magpie index rollback films" in swapped.out
    assert films("index", "rollback", "films").code == 0
    served = re.search(r"→.*", films("index", "list", "films").out)
    assert served is not None
    assert "toy@" in served[0]


def test_a_model_that_is_surely_worse_is_switched_to_only_by_force(
    films: Magpie, tmp_path: Path
) -> None:
    query, best = found_only_by_the_first(tmp_path / "models")
    queries = tmp_path / "queries.jsonl"
    queries.write_bytes(orjson.dumps({"query": query, "relevant": [best]}))
    arguments = ("model", "swap", "toy2", "--catalogue", "films", "--queries", str(queries))
    refused = films(*arguments, "--switch")
    assert refused.code == 4
    assert "NDCG@10" in refused.err
    indexes = tmp_path / "indexes"
    assert read_manifest(indexes / "films" / current_version(indexes, "films")).model.id == "toy"


def found_only_by_the_first(models: Path) -> tuple[str, str]:
    """A text, and the film that is first for it with `toy` and not with `toy2`."""
    encoders = [OnnxEncoder.open(find_export(models, name)) for name in ("toy", "toy2")]
    titles = [line.partition(",")[2] for line in FILMS.splitlines()[1:]]
    for text in ("a night on a train", "small garden", "old letters", "bread and butter"):
        first, second = (
            int((encoder.encode_items(titles) @ encoder.encode_queries([text])[0]).argmax())
            for encoder in encoders
        )
        if first != second:
            return text, str(first + 1)
    raise AssertionError("both models rank alike")


def test_without_the_switch_it_says_how_to_serve_the_new_version(films: Magpie) -> None:
    ran = films("model", "swap", "toy2", "--catalogue", "films")
    assert ran.code == 0, ran.err
    assert re.search(r"magpie index publish films \S+Z-[0-9a-f]{4}", ran.out)


def test_a_swap_to_the_model_that_is_served_is_told_in_plain_words(films: Magpie) -> None:
    ran = films("model", "swap", "toy", "--catalogue", "films")
    assert ran.code == 1
    assert "already" in ran.err
    assert "Traceback" not in ran.err


def test_queries_that_cannot_be_read_are_told_before_anything_is_built(
    films: Magpie, tmp_path: Path
) -> None:
    queries = tmp_path / "queries.jsonl"
    queries.write_text("herb garden\n")
    ran = films("model", "swap", "toy2", "--catalogue", "films", "--queries", str(queries))
    assert ran.code == 1
    assert "line 1" in ran.err
    assert len(list((tmp_path / "indexes" / "films").glob("*Z-*/manifest.json"))) == 1
