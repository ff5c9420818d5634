"""A file of keys is nobody else's to read, and holds no key."""

import stat
from typing import TYPE_CHECKING

import orjson
import pytest

from service.access.key_file import KeyFile, changing
from service.errors import InvalidInput, InvalidSettings

if TYPE_CHECKING:
    from tests.unit.access.conftest import Keys


def test_a_file_is_its_owners_alone_and_comes_back_as_it_was(keys: "Keys") -> None:
    keys.add("shop")
    keys.add("ingest", "write")
    assert stat.S_IMODE(keys.path.stat().st_mode) == 0o600
    file = KeyFile.read(keys.path)
    assert [(key.name, key.scope) for key in file.keys] == [("shop", "read"), ("ingest", "write")]
    file.write(keys.path)
    assert KeyFile.read(keys.path) == file


def test_a_file_holds_no_secret_and_two_files_no_common_hash(keys: "Keys") -> None:
    secret = keys.add("shop").rpartition(b"_")[2]
    first = keys.path.read_bytes()
    assert secret not in first
    keys.path.unlink()
    keys.add("shop")
    one, other = orjson.loads(first), orjson.loads(keys.path.read_bytes())
    assert one["pepper"] != other["pepper"]
    assert one["keys"][0]["digest"] != other["keys"][0]["digest"]


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o602, 0o660, 0o620, 0o777])
def test_a_file_that_others_may_read_or_change_is_refused_with_the_way_out(
    keys: "Keys", mode: int
) -> None:
    keys.add("shop")
    keys.path.chmod(mode)
    with pytest.raises(InvalidSettings, match=r"MAGPIE_KEYS_FILE.*chmod 600"):
        KeyFile.read(keys.path)


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o440, 0o640])
def test_its_group_may_read_it(keys: "Keys", mode: int) -> None:
    keys.add("shop")
    keys.path.chmod(mode)
    assert len(KeyFile.read(keys.path).keys) == 1


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("pepper", "00"),
        ("format", 2),
        ("keys", [{"id": "x"}]),
        ("keys", None),
        ("unknown", 1),
    ],
)
def test_a_weak_or_foreign_file_is_refused_without_showing_it(
    keys: "Keys", field: str, value: object
) -> None:
    keys.add("shop")
    content = orjson.loads(keys.path.read_bytes())
    pepper = content["pepper"]
    keys.path.write_bytes(orjson.dumps({**content, field: value}))
    with pytest.raises(InvalidSettings, match="MAGPIE_KEYS_FILE") as refusal:
        KeyFile.read(keys.path)
    assert pepper not in str(refusal.value)


def test_a_weak_digest_is_refused(keys: "Keys") -> None:
    keys.add("shop")
    content = orjson.loads(keys.path.read_bytes())
    content["keys"][0]["digest"] = "00" * 16
    keys.path.write_bytes(orjson.dumps(content))
    with pytest.raises(InvalidSettings, match=r"wrong is keys\.0\.digest"):
        KeyFile.read(keys.path)


def test_a_folder_is_no_file_of_keys(keys: "Keys") -> None:
    keys.path.mkdir()
    with pytest.raises(InvalidSettings, match="MAGPIE_KEYS_FILE"):
        KeyFile.read(keys.path)


def test_two_commands_do_not_change_keys_at_once(keys: "Keys") -> None:
    with (
        changing(keys.path),
        pytest.raises(InvalidSettings, match="another command"),
        changing(keys.path),
    ):
        pass


@pytest.mark.parametrize("name", ["", "a b", "x" * 65, "-x", "a\n"])
def test_a_name_that_would_spoil_a_list_is_refused(keys: "Keys", name: str) -> None:
    with pytest.raises(InvalidInput, match="name"):
        keys.add(name)
