from datetime import UTC, datetime
from pathlib import Path

import pytest

from service.access.key_file import KeyFile
from service.access.keys import new_key
from service.access.scopes import Scope

NOW = datetime(2026, 11, 25, tzinfo=UTC)


class Keys:
    """A keys file, and the secrets of the keys in it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def add(self, name: str, scope: Scope = "read") -> bytes:
        file = KeyFile.read(self.path) if self.path.exists() else KeyFile.new()
        kept, secret = new_key(name, scope, None, pepper=file.pepper, now=NOW)
        file.with_key(kept).write(self.path)
        return secret.encode()

    def revoke(self, name: str) -> None:
        KeyFile.read(self.path).without(name).write(self.path)


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return Keys(tmp_path / "keys.json")
