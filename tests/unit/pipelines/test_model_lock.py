import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import jsonschema
import orjson
import pytest

from service.artifacts import sha256_bytes
from service.encoders.registry import ModelRecord
from service.errors import ModelNotFound, ModelRejected
from service.pipelines.lock_sections import Formats, Interface, Licence
from service.pipelines.model_diff import diff_locks, find_lock, lock_of_disk
from service.pipelines.model_lock import ModelLock, measure
from service.pipelines.model_provenance import new_lock, refresh_lock, with_provenance

Files = dict[str, bytes]
NOW = datetime(2026, 11, 23, 10, 15, 2, tzinfo=UTC)
ROOT = Path(__file__).resolve().parents[3]
SCHEMA = json.loads((ROOT / "models" / "lock.schema.json").read_text(encoding="utf-8"))


def _seal(content: dict[str, object]) -> str:
    return sha256_bytes(orjson.dumps(content, option=orjson.OPT_SORT_KEYS))


@pytest.fixture
def record(plain_model: Files, record_for: Callable[..., ModelRecord]) -> ModelRecord:
    return record_for(plain_model, pin=("config.json",))


@pytest.fixture
def lock(
    record: ModelRecord,
    plain_model: Files,
    place: Callable[[Files, Path], Path],
    tmp_path: Path,
) -> ModelLock:
    folder = tmp_path / "tiny"
    files = measure(place(plain_model, folder / "upstream"))
    lock = new_lock(record, files, folder=folder, source="hub", now=NOW, tools={})
    lock.write(folder / "lock.json")
    return lock


def test_the_schema_in_git_is_the_one_that_the_code_follows() -> None:
    assert {key: SCHEMA[key] for key in SCHEMA if key != "$schema"} == ModelLock.model_json_schema()


def test_a_lock_follows_its_schema(lock: ModelLock) -> None:
    jsonschema.Draft202012Validator(SCHEMA).validate(lock.model_dump(mode="json"))


@pytest.mark.parametrize("path", sorted((ROOT / "models").glob("*/lock.json")), ids=str)
def test_the_locks_in_git_are_whole_and_follow_the_schema(path: Path) -> None:
    assert ModelLock.read(path) is not None
    jsonschema.Draft202012Validator(SCHEMA).validate(json.loads(path.read_bytes()))


def test_a_lock_says_what_is_known_and_what_is_not(lock: ModelLock) -> None:
    known = lock.provenance
    assert isinstance(known.formats, Formats)
    assert isinstance(known.interface, Interface)
    assert isinstance(known.licence, Licence)
    assert known.licence.verdict == "no policy"
    assert known.signature.upstream == "none"
    assert (known.red_team, known.evaluation, known.approval) == ("unknown",) * 3
    assert known.golden_vectors == "unknown"
    assert {file.path: file.role for file in lock.files}["model.safetensors"] == "weights"


def test_reports_that_appear_later_are_locked_by_their_hash(
    record: ModelRecord, lock: ModelLock, tmp_path: Path
) -> None:
    (tmp_path / "tiny" / "golden.json").write_text("{}")
    (tmp_path / "tiny" / "reports").mkdir()
    (tmp_path / "tiny" / "reports" / "abc.json").write_text("{}")
    refreshed = refresh_lock(record, tmp_path, lock)
    assert ModelLock.read(tmp_path / "tiny" / "lock.json") == refreshed
    assert refreshed.digest == lock.digest
    assert [d.where for d in diff_locks(lock, refreshed)] == [
        "provenance/evaluation",
        "provenance/evaluation/0/path",
        "provenance/evaluation/0/sha256",
        "provenance/golden_vectors",
        "provenance/golden_vectors/path",
        "provenance/golden_vectors/sha256",
    ]


def test_a_refreshed_lock_keeps_what_people_entered(record: ModelRecord, lock: ModelLock) -> None:
    approved = lock.provenance.model_copy(update={"approval": "Li Wei, search, until 2027-06-30"})
    kept = with_provenance(
        lock.model_copy(update={"provenance": approved}), record, Path("nowhere") / "tiny"
    )
    assert kept.provenance.approval == "Li Wei, search, until 2027-06-30"


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (("MIT", "Zlib"), "seal"),
        (('"revision": "0123', '"revision": "f123'), "seal"),
        (('"path": "README.md"', '"path": "README.txt"'), "digest"),
        (('"schema_version": 2', '"schema_version": 3'), "schema_version"),
        (('"trust_remote_code": false', '"trust_remote_code": true'), "trust_remote_code"),
    ],
)
def test_a_lock_that_was_edited_is_refused(
    lock: ModelLock, tmp_path: Path, change: tuple[str, str], complaint: str
) -> None:
    path = tmp_path / "tiny" / "lock.json"
    text = path.read_text()
    assert change[0] in text
    path.write_text(text.replace(*change))
    with pytest.raises(ModelRejected, match=f"damaged.*{complaint}"):
        ModelLock.read(path)


def test_a_lock_of_the_first_form_can_still_be_read(lock: ModelLock, tmp_path: Path) -> None:
    content = lock.model_dump(mode="json", exclude={"seal", "provenance"}) | {"schema_version": 1}
    content["files"] = [
        {key: file[key] for key in ("path", "size_bytes", "sha256")} for file in content["files"]
    ]
    path = tmp_path / "old.json"
    path.write_text(json.dumps(content))
    old = ModelLock.read(path)
    assert old is not None
    assert old.digest == lock.digest


def test_a_lock_stays_whole_when_the_program_learns_new_fields(
    lock: ModelLock, tmp_path: Path
) -> None:
    path = tmp_path / "tiny" / "lock.json"
    content = json.loads(path.read_bytes())
    del content["provenance"]["approval"], content["seal"]
    path.write_text(json.dumps(content | {"seal": _seal(content)}))
    assert ModelLock.read(path) is not None


def test_two_locks_differ_in_named_places(lock: ModelLock, record: ModelRecord) -> None:
    moved = with_provenance(
        lock.model_copy(update={"revision": "f" * 40}), replace(record, dim=16), Path("x") / "tiny"
    )
    assert {d.where: (d.left, d.right) for d in diff_locks(lock, moved)} == {
        "revision": (record.revision, "f" * 40),
        "provenance/interface/dim": ("32", "16"),
    }


def test_a_lock_and_the_files_that_are_here_differ_by_file(lock: ModelLock, tmp_path: Path) -> None:
    upstream = tmp_path / "tiny" / "upstream"
    (upstream / "README.md").write_text("# tony")
    (upstream / "extra.txt").write_text("")
    places = {d.where for d in diff_locks(lock, lock_of_disk(tmp_path, "tiny", lock))}
    assert places == {"digest", "files/README.md", "files/extra.txt"}


def test_a_lock_is_found_by_id_or_by_its_file(lock: ModelLock, tmp_path: Path) -> None:
    path = str(tmp_path / "tiny" / "lock.json")
    assert find_lock(tmp_path, "tiny") == find_lock(tmp_path, path) == lock
    with pytest.raises(ModelNotFound, match="no lock of 'other'"):
        find_lock(tmp_path, "other")
