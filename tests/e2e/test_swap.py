"""Another model for a catalogue while the service answers: build, compare, switch, go back."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import numpy as np
import orjson
import pytest

from service.encoders.exports import find_export
from service.encoders.onnx_encoder import OnnxEncoder
from service.index.layout import version_folder
from service.index.publish import current_version, publish
from service.index.snapshot import Snapshot, open_snapshot
from tests.conftest import TOY_DIM, write_toy_model
from tests.e2e.test_service import Traffic, index_of

NOW = datetime(2026, 11, 2, tzinfo=UTC)
ITEMS = 60
K = 5
# The service rounds scores to six digits.
TOLERANCE = 2e-6

Workshop = Any


@pytest.fixture(scope="module")
def two_models(tmp_path_factory: pytest.TempPathFactory, pins_path: Path) -> Path:
    folder = tmp_path_factory.mktemp("two-models")
    texts = pins_path.read_text(encoding="utf-8").splitlines()
    write_toy_model(folder, texts)
    write_toy_model(folder, texts, name="toy2", seed=8)
    return folder


@pytest.fixture
def titles(pins_path: Path) -> list[str]:
    rows = pins_path.read_text(encoding="utf-8").splitlines()[:ITEMS]
    return [orjson.loads(row)["title"] for row in rows]


def magpie(workshop: Workshop, *arguments: str) -> str:
    """Run the command as an operator would, in a process of its own."""
    environment = {
        **os.environ,
        "MAGPIE_MODELS_DIR": str(workshop.models),
        "MAGPIE_INDEXES_DIR": str(workshop.indexes),
        "COLUMNS": "200",
    }
    ran = subprocess.run(
        [sys.executable, "-m", "service", *arguments],
        env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


class Offline:
    """The same answers, worked out with plain NumPy from a version and the model it names."""

    def __init__(self, workshop: Workshop, version: str) -> None:
        self.snapshot: Snapshot = open_snapshot(version_folder(workshop.indexes, "shop", version))
        export = find_export(workshop.models, self.snapshot.manifest.model)
        self.encoder = OnnxEncoder.open(export)

    def check(self, text: str, answer: dict[str, Any]) -> None:
        """Assert that an answer is this version's, made with this version's model."""
        assert answer["model"] == str(self.snapshot.manifest.model)
        scores = self.snapshot.vectors @ self.encoder.encode_queries([text])[0]
        rows = [self.snapshot.table.row(item["id"]) for item in answer["items"]]
        given = np.array([item["score"] for item in answer["items"]])
        np.testing.assert_allclose(given, scores[rows], atol=TOLERANCE)
        np.testing.assert_allclose(given, np.sort(scores)[::-1][:K], atol=TOLERANCE)


def test_a_model_is_swapped_and_rolled_back_under_traffic_without_mixing_vectors(
    workshop: Workshop, two_models: Path, titles: list[str], wait: Callable[..., None]
) -> None:
    workshop = replace(workshop, models=two_models)
    first = workshop.build("shop", titles, 1)
    publish(workshop.indexes, "shop", first, now=NOW)
    asked: dict[int, str] = {}
    with workshop.serving("shop") as service:

        def ask(turn: int) -> Any:
            # Some texts come again and again, so that the vector cache takes part; most are new.
            words = titles[turn % ITEMS] if turn % 3 else f"{titles[turn % 7]} {turn}"
            answer = service.get(f"/search?q={quote_plus(words)}&k={K}&fields=")
            asked[id(answer)] = words
            return answer

        def serves(version: str) -> bool:
            return bool(index_of(service.recommend(k=1)) == version)

        with Traffic(ask) as traffic:
            wait(lambda: len(traffic.answers) > 20, "traffic with the first model")
            told = magpie(workshop, "model", "swap", "toy2", "--catalogue", "shop", "--switch")
            second = current_version(workshop.indexes, "shop")
            wait(lambda: serves(second), "the second model")
            magpie(workshop, "index", "rollback", "shop")
            wait(lambda: serves(first), "the first model again")
            magpie(workshop, "index", "publish", "shop", second)
            wait(lambda: serves(second), "the second model again")
            seen = len(traffic.answers)
            wait(lambda: len(traffic.answers) > seen + 20, "traffic with the second model")

        assert service.stop() == 0
    assert "magpie index rollback shop" in told
    assert traffic.failures == []
    offline = {version: Offline(workshop, version) for version in (first, second)}
    assert {each.snapshot.vectors.shape[1] for each in offline.values()} == {TOY_DIM}
    assert {index_of(answer) for answer in traffic.answers} == {first, second}
    for answer in traffic.answers:
        offline[index_of(answer)].check(asked[id(answer)], answer.body)


def test_the_check_itself_would_notice_the_wrong_model(
    workshop: Workshop, two_models: Path, titles: list[str]
) -> None:
    workshop = replace(workshop, models=two_models)
    version = workshop.build("shop", titles, 1)
    publish(workshop.indexes, "shop", version, now=NOW)
    with workshop.serving("shop") as service:
        answer = service.get(f"/search?q={quote_plus(titles[0])}&k={K}&fields=").body
    offline = Offline(workshop, version)
    offline.check(titles[0], answer)
    offline.encoder = OnnxEncoder.open(find_export(two_models, "toy2"))
    with pytest.raises(AssertionError):
        offline.check(titles[0], answer)


def test_a_swap_without_the_switch_changes_nothing_that_is_served(
    workshop: Workshop, two_models: Path, titles: list[str]
) -> None:
    workshop = replace(workshop, models=two_models)
    version = workshop.build("shop", titles, 1)
    publish(workshop.indexes, "shop", version, now=NOW)
    told = magpie(workshop, "model", "swap", "toy2", "--catalogue", "shop")
    assert "Nothing is switched yet" in told
    assert "toy2@" in told
    assert current_version(workshop.indexes, "shop") == version
