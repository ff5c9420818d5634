"""`magpie key`, and `magpie serve` where it has to refuse."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from service.access.keyring import Keyring

if TYPE_CHECKING:
    from tests.unit.cli.conftest import Magpie


@pytest.fixture
def keys_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "keys.json"
    monkeypatch.setenv("MAGPIE_KEYS_FILE", str(path))
    return path


def test_a_key_is_shown_once_listed_and_revoked(magpie: "Magpie", keys_file: Path) -> None:
    made = magpie("key", "create", "--name", "shop", "--scope", "write", "--rate", "100/s")
    assert made.code == 0
    secret = made.out.strip()
    ring = Keyring(keys_file)
    key = ring.verify(secret.encode())
    assert key is not None
    assert (key.name, key.scope, str(key.rate)) == ("shop", "write", "100/s")

    listed = magpie("key", "list").out
    assert all(word in listed for word in (key.id, "shop", "write", "100/s"))
    assert secret.rpartition("_")[2] not in listed

    assert magpie("key", "revoke", key.id).code == 0
    ring.refresh()
    assert ring.verify(secret.encode()) is None
    assert "shop" not in magpie("key", "list").out


def test_what_cannot_be_done_is_told_with_the_way_out(magpie: "Magpie", keys_file: Path) -> None:
    assert "magpie key create" in magpie("key", "list").err
    magpie("key", "create", "--name", "shop")
    assert "magpie key list" in magpie("key", "revoke", "nobody").err
    assert "100/s" in magpie("key", "create", "--name", "shop", "--rate", "many").err


def test_the_setting_is_named_where_it_is_not_set(magpie: "Magpie") -> None:
    assert "MAGPIE_KEYS_FILE" in magpie("key", "create", "--name", "shop").err


@pytest.mark.parametrize(
    ("variables", "names"),
    [
        ({"MAGPIE_HOST": "0.0.0.0"}, ("MAGPIE_KEYS_FILE", "--insecure")),
        ({"MAGPIE_HOST": "0.0.0.0", "MAGPIE_KEYS_FILE": "absent.json"}, ("MAGPIE_KEYS_FILE",)),
        (
            {"MAGPIE_HOST": "0.0.0.0", "MAGPIE_INSECURE": "1", "MAGPIE_WRITABLE": "1"},
            ("MAGPIE_WRITABLE",),
        ),
    ],
)
def test_serve_refuses_what_would_be_open_and_says_what_to_set(
    magpie: "Magpie",
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
    names: tuple[str, ...],
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    ended = magpie("serve", "pins")
    assert ended.code == 1
    assert all(name in ended.err for name in names)
    assert "Traceback" not in ended.err


def test_serve_refuses_keys_that_others_may_read(magpie: "Magpie", keys_file: Path) -> None:
    magpie("key", "create", "--name", "shop")
    keys_file.chmod(0o644)
    ended = magpie("serve", "pins")
    assert (ended.code, "chmod 600" in ended.err) == (1, True)
