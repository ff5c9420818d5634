"""The application over the sample pins, with its real lifespan, called in process."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from service.api.app import create_app
from service.settings import Settings


@pytest.fixture(scope="session")
def client(pins_indexes: Path, toy_models: Path) -> Iterator[TestClient]:
    settings = Settings(models_dir=toy_models, indexes_dir=pins_indexes)
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        yield client
