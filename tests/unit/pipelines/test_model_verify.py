"""What `magpie model verify` finds, and with which exit code; without a network."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from service.encoders.exports import find_export
from service.encoders.registry import ModelRecord
from service.errors import ModelNotFound
from service.pipelines.model_lock import measure
from service.pipelines.model_provenance import new_lock
from service.pipelines.model_verify import Finding, Verdict, examine, verdict_of

Files = dict[str, bytes]
NOW = datetime(2026, 11, 23, 10, 15, 2, tzinfo=UTC)


@pytest.fixture
def record(plain_model: Files, record_for: Callable[..., ModelRecord]) -> ModelRecord:
    return record_for(plain_model, pin=("model.safetensors",))


@pytest.fixture
def upstream(
    record: ModelRecord,
    plain_model: Files,
    place: Callable[[Files, Path], Path],
    tmp_path: Path,
) -> Path:
    folder = tmp_path / "tiny"
    files = measure(place(plain_model, folder / "upstream"))
    lock = new_lock(record, files, folder=folder, source="hub", now=NOW, tools={})
    lock.write(folder / "lock.json")
    return folder / "upstream"


@pytest.fixture
def found(
    record: ModelRecord, upstream: Path, tmp_path: Path
) -> Callable[[], tuple[Verdict, dict[str, str]]]:
    def look() -> tuple[Verdict, dict[str, str]]:
        findings = examine(record, tmp_path, now=NOW)
        return verdict_of(findings), {each.file: each.reason for each in findings}

    return look


Found = Callable[[], tuple[Verdict, dict[str, str]]]


def test_a_model_as_it_was_pulled_is_well(found: Found) -> None:
    assert found() == (Verdict.OK, {})


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "README.md"])
def test_a_flipped_byte_is_code_2_and_names_the_file(
    found: Found, upstream: Path, name: str
) -> None:
    content = bytearray((upstream / name).read_bytes())
    content[-2] ^= 1
    (upstream / name).write_bytes(content)
    verdict, findings = found()
    assert verdict == Verdict.HASH
    assert f"{name} has sha256" in findings[f"upstream/{name}"]


def test_a_missing_file_is_code_2(found: Found, upstream: Path) -> None:
    (upstream / "README.md").unlink()
    verdict, findings = found()
    assert verdict == Verdict.HASH
    assert "missing" in findings["upstream/README.md"]


@pytest.mark.parametrize("name", ["vocab.txt", "pytorch_model.bin", "evil.py", "a.tar.gz"])
def test_an_extra_file_is_code_3(found: Found, upstream: Path, name: str) -> None:
    (upstream / name).write_bytes(b"x")
    verdict, findings = found()
    assert verdict == Verdict.EXTRA
    assert set(findings) == {f"upstream/{name}"}


def test_a_link_in_place_of_a_file_is_code_4_although_its_content_is_right(
    found: Found, upstream: Path, tmp_path: Path
) -> None:
    (upstream / "config.json").rename(tmp_path / "config.json")
    (upstream / "config.json").symlink_to(tmp_path / "config.json")
    assert found() == (Verdict.FORMAT, {"upstream/config.json": "is a symbolic link"})


def test_a_lock_that_is_gone_or_damaged_is_code_2(found: Found, tmp_path: Path) -> None:
    lock = tmp_path / "tiny" / "lock.json"
    lock.write_text(lock.read_text().replace("hub", "bub"))
    assert found()[0] == Verdict.HASH
    lock.unlink()
    assert found() == (
        Verdict.HASH,
        {"lock.json": "is missing: nothing says what the files must be"},
    )


def test_a_licence_that_is_not_accepted_is_code_5(found: Found, tmp_path: Path) -> None:
    (tmp_path / "licences.toml").write_text("schema_version = 1\n[allowed.Zlib]\n")
    assert found() == (
        Verdict.LICENCE,
        {"LICENSE": "MIT is not on the list of accepted licences"},
    )


def test_several_findings_give_the_smallest_code() -> None:
    findings = tuple(Finding("f", "r", verdict) for verdict in (Verdict.LICENCE, Verdict.EXTRA))
    assert verdict_of(findings) == Verdict.EXTRA


def test_nothing_here_is_not_found(record: ModelRecord, tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match="magpie model pull tiny"):
        examine(record, tmp_path, now=NOW)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({}, None),
        ({"verdict": "failed"}, "says that the model failed"),
        ({"valid_until": (NOW - timedelta(days=1)).isoformat()}, "has expired"),
        ({"lock_digest": "0" * 64}, "is about other files"),
        ({"verdict": "fine"}, "is not a red-team report"),
    ],
)
def test_a_red_team_report_counts_only_if_it_is_asked_for(
    record: ModelRecord,
    upstream: Path,
    tmp_path: Path,
    change: dict[str, str],
    reason: str | None,
) -> None:
    digest = json.loads((tmp_path / "tiny" / "lock.json").read_bytes())["digest"]
    until = (NOW + timedelta(days=1)).isoformat()
    report = {"lock_digest": digest, "verdict": "passed", "valid_until": until} | change
    (tmp_path / "tiny" / "red-team.json").write_text(json.dumps(report))
    assert examine(record, tmp_path, now=NOW) == ()
    findings = examine(record, tmp_path, now=NOW, require_red_team=True)
    if reason is None:
        assert findings == ()
    else:
        assert [finding.verdict for finding in findings] == [Verdict.RED_TEAM]
        assert reason in findings[0].reason


def test_a_missing_red_team_report_is_code_7(
    record: ModelRecord, upstream: Path, tmp_path: Path
) -> None:
    findings = examine(record, tmp_path, now=NOW, require_red_team=True)
    assert verdict_of(findings) == Verdict.RED_TEAM


@pytest.fixture
def exported(
    toy_models: Path,
    place: Callable[[Files, Path], Path],
    record_for: Callable[..., ModelRecord],
    tmp_path: Path,
) -> tuple[ModelRecord, Path]:
    """The toy model's real export, alone: as a machine has it that only serves."""
    export = find_export(toy_models, "toy")
    names = ("model.onnx", "tokenizer.json", "export.json")
    copy = tmp_path / "tiny" / "exports" / export.name
    place({name: (export / name).read_bytes() for name in names}, copy)
    return record_for({}), copy


def test_an_export_alone_can_be_verified(
    exported: tuple[ModelRecord, Path], tmp_path: Path
) -> None:
    assert examine(exported[0], tmp_path, now=NOW) == ()


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json"])
def test_a_flipped_byte_in_an_export_is_code_2(
    exported: tuple[ModelRecord, Path], tmp_path: Path, name: str
) -> None:
    record, export = exported
    content = bytearray((export / name).read_bytes())
    content[-1] ^= 1
    (export / name).write_bytes(content)
    findings = examine(record, tmp_path, now=NOW)
    assert verdict_of(findings) == Verdict.HASH
    assert findings[0].file.endswith(name)


def test_strangers_and_links_in_an_export_are_found(
    exported: tuple[ModelRecord, Path], tmp_path: Path
) -> None:
    record, export = exported
    (export / "custom_ops.so").write_bytes(b"x")
    (tmp_path / "second.onnx").hardlink_to(export / "model.onnx")
    codes = {
        each.file.rpartition("/")[2]: each.verdict for each in examine(record, tmp_path, now=NOW)
    }
    assert codes == {"custom_ops.so": Verdict.EXTRA, "model.onnx": Verdict.FORMAT}
