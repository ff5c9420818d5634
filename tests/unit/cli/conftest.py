"""The command line as a person calls it, in process: arguments in, exit code and text out."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from service.cli import main


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str


Magpie = Callable[..., Ran]


@pytest.fixture
def magpie(
    tmp_path: Path,
    toy_models: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Magpie:
    """Run `magpie …` with the toy model and an indexes folder of its own."""
    monkeypatch.setenv("MAGPIE_MODELS_DIR", str(toy_models))
    monkeypatch.setenv("MAGPIE_INDEXES_DIR", str(tmp_path / "indexes"))
    monkeypatch.setenv("MAGPIE_MODEL", "toy")
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: str) -> Ran:
        monkeypatch.setattr(sys, "argv", ["magpie", *arguments])
        try:
            main()
            code = 0
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else 1
        captured = capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    return run
