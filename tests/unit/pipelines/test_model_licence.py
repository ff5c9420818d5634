from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from service.encoders.registry import ModelRecord, Registry
from service.errors import InvalidSettings, LicenceRefused
from service.pipelines.licence_policy import LicencePolicy, check_licence
from service.pipelines.pull_model import pull, verify_upstream

if TYPE_CHECKING:
    from tests.unit.pipelines.conftest import LocalHub

NOW = datetime(2026, 11, 23, 10, 15, 2, tzinfo=UTC)
ROOT = Path(__file__).resolve().parents[3]


def _only(folder: Path, *licences: str) -> Path:
    lines = [f'[allowed."{name}"]\nobligations = ["say so"]' for name in licences]
    folder.mkdir(exist_ok=True)
    (folder / "licences.toml").write_text("\n".join(["schema_version = 1", *lines]))
    return folder


def test_what_is_on_the_list_passes_with_its_obligations(tmp_path: Path) -> None:
    policy = LicencePolicy.load(_only(tmp_path, "MIT"))
    check_licence("m", "MIT", policy)
    assert (policy.verdict("MIT"), policy.obligations("MIT")) == ("allowed", ("say so",))


@pytest.mark.parametrize("licence", ["CC-BY-NC-4.0", "", "mit", "MIT OR Apache-2.0"])
def test_what_is_not_on_the_list_is_blocked_by_name(tmp_path: Path, licence: str) -> None:
    policy = LicencePolicy.load(_only(tmp_path, "MIT"))
    with pytest.raises(LicenceRefused, match=r"m is under .*models/licences\.toml"):
        check_licence("m", licence, policy)


def test_without_a_list_nothing_is_blocked_and_that_is_said(tmp_path: Path) -> None:
    policy = LicencePolicy.load(tmp_path)
    check_licence("m", "anything", policy)
    assert policy.verdict("anything") == "no policy"


def test_a_list_that_cannot_be_read_blocks_everything(tmp_path: Path) -> None:
    (tmp_path / "licences.toml").write_text("allowed = 3")
    with pytest.raises(InvalidSettings, match=r"licences\.toml"):
        LicencePolicy.load(tmp_path)


def test_a_pull_is_blocked_before_the_hub_is_asked(
    hub: "LocalHub",
    plain_model: dict[str, bytes],
    record_for: Callable[..., ModelRecord],
    tmp_path: Path,
) -> None:
    with pytest.raises(LicenceRefused):
        pull(record_for(plain_model), _only(tmp_path, "Zlib"), endpoint=hub.url, now=NOW)
    assert hub.requests == []


def test_a_model_that_is_here_is_blocked_once_its_licence_is_struck_off(
    hub: "LocalHub",
    plain_model: dict[str, bytes],
    record_for: Callable[..., ModelRecord],
    tmp_path: Path,
) -> None:
    record = record_for(plain_model)
    pull(record, tmp_path, endpoint=hub.url, now=NOW)
    _only(tmp_path, "Zlib")
    with pytest.raises(LicenceRefused):
        verify_upstream(record, tmp_path)


def test_every_model_of_the_registry_is_acceptable_as_shipped() -> None:
    policy = LicencePolicy.load(ROOT / "models")
    records = Registry.load(ROOT / "models" / "registry.toml").records.values()
    assert {record.id: policy.verdict(record.licence) for record in records} == {
        record.id: "allowed" for record in records
    }
