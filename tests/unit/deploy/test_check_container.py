"""The script behind `make container-check`, where it cannot do its work."""

import shutil
import subprocess
from pathlib import Path

import pytest


@pytest.fixture
def bare_path(tmp_path: Path) -> Path:
    """A folder for PATH that has a shell, and no tool for containers."""
    for name in ("bash", "dirname", "id"):
        found = shutil.which(name)
        assert found
        (tmp_path / name).symlink_to(found)
    return tmp_path


def test_says_what_to_install_where_the_tools_are_missing(
    repository: Path, bare_path: Path
) -> None:
    finished = subprocess.run(
        [bare_path / "bash", repository / "deploy/check-container"],
        env={"PATH": str(bare_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 2
    assert "needs buildah podman runc curl" in finished.stderr
    assert "apt-get install" in finished.stderr
