"""Who can reach the service, and therefore whether it may start as it is set up."""

import ipaddress
from typing import Literal, TypeAlias

from service.errors import InvalidSettings
from service.settings import Settings

Exposure: TypeAlias = Literal["keys", "loopback", "insecure"]
"""keys: who has one. loopback: whoever is on this machine. insecure: anybody, as was asked for."""


def exposure(settings: Settings) -> Exposure:
    """Decide who may ask.

    Raises:
        InvalidSettings: others could reach the service and nobody would ask them for a key, or
            the settings contradict each other.
    """
    if settings.admin_port is not None:
        _check_admin(settings)
    if settings.keys_file is not None:
        if settings.insecure:
            raise InvalidSettings(
                "MAGPIE_INSECURE and MAGPIE_KEYS_FILE contradict each other.", "Unset one of them."
            )
        return "keys"
    if is_loopback(settings.host):
        return "loopback"
    if not settings.insecure:
        raise InvalidSettings(
            f"MAGPIE_HOST is {settings.host}, where others can reach the service, and nobody would "
            "ask them for a key.",
            "Set MAGPIE_KEYS_FILE and run `magpie key create`, or bind to 127.0.0.1, or say "
            "--insecure.",
        )
    if settings.writable:
        raise InvalidSettings(
            "MAGPIE_WRITABLE would let anybody who reaches the service change its items.",
            "Set MAGPIE_KEYS_FILE in place of MAGPIE_INSECURE.",
        )
    return "insecure"


def is_loopback(host: str) -> bool:
    """Tell whether only this machine reaches an address.

    Raises:
        InvalidSettings: it is no address.
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        raise InvalidSettings(
            f"{host!r} is not an address to bind.", "Give an IP address, or localhost."
        ) from None


def _check_admin(settings: Settings) -> None:
    if settings.keys_file is None and not is_loopback(settings.admin_host):
        raise InvalidSettings(
            f"MAGPIE_ADMIN_HOST is {settings.admin_host}, where others can reach it, and nobody "
            "would ask them for a key.",
            "Set MAGPIE_KEYS_FILE, or leave it at 127.0.0.1.",
        )
