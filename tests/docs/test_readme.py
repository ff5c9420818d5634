"""The README's calls, run as they stand there, give the answers that stand below them."""

import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson
import pytest
from starlette.testclient import TestClient

from service.api.app import create_app
from service.pipelines.quickstart import prepare
from service.settings import Settings

REPOSITORY = Path(__file__).resolve().parents[2]
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
CALLS = re.findall(r"```sh\n(curl .*?)```\n```json\n(.*?)```", README, re.DOTALL)

pytestmark = pytest.mark.export


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory, pins_path: Path) -> Iterator[TestClient]:
    """What `make run` serves where no hub answers: the stand-in over the sample pins."""
    folder = tmp_path_factory.mktemp("readme")
    models = folder / "models"
    models.mkdir()
    shutil.copy(REPOSITORY / "models" / "registry.toml", models)
    settings = Settings(models_dir=models, indexes_dir=folder / "indexes", model="all-minilm-l6-v2")
    prepare(settings, lambda stage, done, total: None, pins_path)
    with TestClient(create_app(settings)) as client:
        yield client


def test_the_readme_shows_four_calls() -> None:
    assert len(CALLS) == 4


@pytest.mark.parametrize("number", range(len(CALLS)))
def test_a_call_gives_the_answer_that_the_readme_shows(sample: TestClient, number: int) -> None:
    command, shown = CALLS[number]
    _, url, *options = shlex.split(command)
    address = urlsplit(url)
    path = f"{address.path}?{address.query}" if address.query else address.path
    if "-d" in options:
        body = options[options.index("-d") + 1]
        response = sample.post(path, content=body, headers={"content-type": "application/json"})
    else:
        response = sample.get(path)
    assert response.status_code == 200
    assert_shows(response.json(), orjson.loads(shown))


def assert_shows(actual: Any, shown: Any) -> None:
    """Everything shown is there; numbers agree to what another processor may round."""
    if isinstance(shown, dict):
        for key, value in shown.items():
            assert_shows(actual[key], value)
    elif isinstance(shown, list):
        assert len(actual) == len(shown)
        for one, other in zip(actual, shown, strict=True):
            assert_shows(one, other)
    elif isinstance(shown, float):
        assert actual == pytest.approx(shown, abs=2e-3)
    else:
        assert actual == shown


@pytest.mark.parametrize(
    "document", sorted([*REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/**/*.md")])
)
def test_every_relative_link_leads_to_a_file(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", text):
        assert (document.parent / target).exists(), f"{document.name} links to {target}"
