import pytest

from service.cli.console import failures_told
from service.errors import ToolMissing


def test_square_brackets_in_a_hint_reach_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended, failures_told():
        raise ToolMissing("sqlalchemy is not installed.", "Run: pip install 'magpie[sql]'")
    assert ended.value.code == ToolMissing.exit_code
    assert "magpie[sql]" in capsys.readouterr().err


def test_a_bug_keeps_its_traceback() -> None:
    with pytest.raises(KeyError), failures_told():
        raise KeyError("a bug")
