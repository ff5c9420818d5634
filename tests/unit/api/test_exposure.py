"""A service that others can reach asks for keys, or does not start."""

from pathlib import Path

import pytest

from service.api.exposure import Exposure, exposure
from service.errors import InvalidSettings
from service.settings import Settings

KEYS = Path("keys.json")


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (Settings(), "loopback"),
        (Settings(host="localhost"), "loopback"),
        (Settings(host="127.0.0.5"), "loopback"),
        (Settings(host="::1"), "loopback"),
        (Settings(host="127.0.0.1", writable=True), "loopback"),
        (Settings(host="127.0.0.1", keys_file=KEYS), "keys"),
        (Settings(host="0.0.0.0", keys_file=KEYS, writable=True), "keys"),
        (Settings(host="0.0.0.0", insecure=True), "insecure"),
        (Settings(host="::", insecure=True), "insecure"),
    ],
)
def test_who_may_ask_follows_from_the_address_and_the_keys(
    settings: Settings, expected: Exposure
) -> None:
    assert exposure(settings) == expected


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "::ffff:127.0.0.1", "10.0.0.1"])
def test_an_address_that_others_reach_needs_keys(host: str) -> None:
    with pytest.raises(InvalidSettings, match=r"MAGPIE_HOST.*MAGPIE_KEYS_FILE.*--insecure"):
        exposure(Settings(host=host))


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        (Settings(host="0.0.0.0", insecure=True, writable=True), "MAGPIE_WRITABLE"),
        (Settings(host="0.0.0.0", insecure=True, keys_file=KEYS), "MAGPIE_INSECURE"),
        (Settings(host="magpie.example"), "not an address"),
    ],
)
def test_settings_that_contradict_each_other_are_refused_by_name(
    settings: Settings, names: str
) -> None:
    with pytest.raises(InvalidSettings, match=names):
        exposure(settings)
