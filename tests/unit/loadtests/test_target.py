import pytest

from loadtests.target import TargetRefused, parse_target


@pytest.mark.parametrize(
    ("url", "root"),
    [
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("http://127.8.8.8:1/", "http://127.8.8.8:1"),
        ("http://localhost", "http://localhost:80"),
        ("http://[::1]:8000", "http://[::1]:8000"),
    ],
)
def test_this_machine_is_allowed(url: str, root: str) -> None:
    assert parse_target(url, is_owned=False).url == root


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org",
        "http://192.168.0.4:8000",
        "http://0.0.0.0:8000",
        "http://127.0.0.1.example.org",
        "http://localhost.example.org",
    ],
)
def test_other_machines_are_refused_unless_owned(url: str) -> None:
    with pytest.raises(TargetRefused, match="--i-own-this-host"):
        parse_target(url, is_owned=False)

    assert parse_target(url, is_owned=True).url.startswith(url)


@pytest.mark.parametrize(
    "url",
    [
        "127.0.0.1:8000",
        "ftp://127.0.0.1",
        "http://",
        "http://user:secret@127.0.0.1",
        "http://127.0.0.1/path",
        "http://127.0.0.1:99999",
    ],
)
def test_what_is_no_root_url_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(TargetRefused) as refused:
        parse_target(url, is_owned=True)

    assert "secret" not in str(refused.value)
