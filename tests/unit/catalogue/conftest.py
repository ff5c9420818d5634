"""Files of items, written where the test says."""

from collections.abc import Callable
from pathlib import Path

import pytest

from service.catalogue.reader import ColumnMap
from service.catalogue.text import TextTemplate

WriteFile = Callable[[str, str | bytes], Path]


@pytest.fixture
def write_file(tmp_path: Path) -> WriteFile:
    """Write a file of a given name and content; returns its path."""

    def write(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


@pytest.fixture
def columns() -> ColumnMap:
    """Map `id`, and `title` as the text."""
    return ColumnMap(id="id", text=TextTemplate("{title}"))
