import pytest

from service.errors import InvalidSettings
from service.settings import Settings


def test_defaults_are_safe_and_need_no_server() -> None:
    settings = Settings()
    assert settings.host == "127.0.0.1"
    assert settings.redis_url is None


def test_variables_are_read_by_their_prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAGPIE_CATALOGUE", "films")
    monkeypatch.setenv("MAGPIE_PORT", "9000")
    settings = Settings.from_environment()
    assert (settings.catalogue, settings.port) == ("films", 9000)


def test_a_bad_variable_is_named_without_its_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAGPIE_PORT", "canary-70000")
    with pytest.raises(InvalidSettings, match="MAGPIE_PORT") as caught:
        Settings.from_environment()
    assert "canary" not in str(caught.value)


def test_the_redis_password_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAGPIE_REDIS_URL", "redis://:canary@127.0.0.1:6379/0")
    assert "canary" not in repr(Settings.from_environment())
