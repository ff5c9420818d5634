import socket
from pathlib import Path

import pytest
from pydantic import SecretStr

from service.pipelines.diagnose import Finding, diagnose
from service.settings import Settings

REGISTRY = Path(__file__).resolve().parents[3] / "models" / "registry.toml"


def look(settings: Settings, cpuinfo: Path) -> dict[str, Finding]:
    return {finding.subject: finding for finding in diagnose(settings, cpuinfo)}


@pytest.fixture
def cpuinfo(tmp_path: Path) -> Path:
    path = tmp_path / "cpuinfo"
    path.write_text("flags : fpu sse2 avx2 avx512_vnni\n", encoding="utf-8")
    return path


def test_a_published_index_with_its_model_is_fine(
    pins_indexes: Path, toy_models: Path, cpuinfo: Path
) -> None:
    found = look(Settings(models_dir=toy_models, indexes_dir=pins_indexes, port=0), cpuinfo)
    assert found["Index"].verdict == "fine"
    assert "672 items" in found["Index"].fact
    assert (found["Model"].verdict, "stand-in" in found["Model"].fact) == ("note", True)
    assert found["Processor"].fact == "avx2, avx512_vnni"
    assert found["Port"].verdict == "fine"
    assert found["Redis"].verdict == "note"


@pytest.mark.parametrize(("library", "verdict"), [(object(), "fine"), (None, "note")])
def test_search_says_what_does_it(
    tmp_path: Path,
    cpuinfo: Path,
    monkeypatch: pytest.MonkeyPatch,
    library: object,
    verdict: str,
) -> None:
    monkeypatch.setattr("service.pipelines.diagnose.open_library", lambda: library)
    found = look(Settings(models_dir=tmp_path, indexes_dir=tmp_path), cpuinfo)
    assert found["Search"].verdict == verdict


def test_an_empty_folder_is_told_what_to_run(tmp_path: Path, cpuinfo: Path) -> None:
    found = look(Settings(models_dir=tmp_path, indexes_dir=tmp_path), cpuinfo)
    assert found["Index"].verdict == "wrong"
    assert "magpie index publish pins" in found["Index"].advice
    assert found["Registry"].verdict == "wrong"


def test_an_index_whose_model_is_not_here_is_wrong(
    pins_indexes: Path, tmp_path: Path, cpuinfo: Path
) -> None:
    found = look(Settings(models_dir=tmp_path, indexes_dir=pins_indexes), cpuinfo)
    assert (found["Index"].verdict, found["Model"].verdict) == ("fine", "wrong")
    assert "magpie model" in found["Model"].advice


def test_a_redis_that_does_not_answer_is_wrong_but_said_to_be_survivable(
    tmp_path: Path, cpuinfo: Path
) -> None:
    url = SecretStr("redis://127.0.0.1:1/0")
    found = look(Settings(indexes_dir=tmp_path, redis_url=url), cpuinfo)
    assert found["Redis"].verdict == "wrong"
    assert "still served" in found["Redis"].advice


def test_a_taken_port_is_noted(tmp_path: Path, cpuinfo: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        found = look(Settings(indexes_dir=tmp_path, port=port), cpuinfo)
    assert found["Port"].verdict == "note"


def test_more_threads_than_cores_are_wrong(tmp_path: Path, cpuinfo: Path) -> None:
    found = look(Settings(indexes_dir=tmp_path, encoder_threads=256), cpuinfo)
    assert found["Threads"].verdict == "wrong"


def test_a_system_without_cpuinfo_is_only_noted(tmp_path: Path) -> None:
    found = look(Settings(indexes_dir=tmp_path), tmp_path / "nothing")
    assert found["Processor"].verdict == "note"
