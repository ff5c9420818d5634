"""Who asks, and what they may do: decided once a request, before anything is answered."""

import ipaddress
from dataclasses import dataclass
from typing import Final, Literal, Self
from urllib.parse import urlsplit

from starlette.types import Scope as AsgiScope

from service.access.keyring import Keyring
from service.access.keys import Key
from service.access.scopes import Scope, covers
from service.api.exposure import Exposure, exposure
from service.errors import AccessDenied, KeyRequired, ScopeMissing
from service.settings import Settings

PRINCIPAL: Final = "magpie.principal"
"""Scope entry where the front leaves who asks."""

_BEARER: Final = b"bearer "
_SEND_KEY: Final = "Send one as `Authorization: Bearer KEY`, or as `X-API-Key: KEY`."

Unknown = Literal["missing", "unknown", "remote"]


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks. `scope` None may do nothing but look at public routes."""

    scope: Scope | None
    key: Key | None = None
    unknown: Unknown | None = None
    """Why there is no scope."""


_MISSING: Final = Principal(None, unknown="missing")
_UNKNOWN: Final = Principal(None, unknown="unknown")
_REMOTE: Final = Principal(None, unknown="remote")


class Guard:
    """Tells who a request is from.

    Args:
        exposed: who may ask at all.
        keyring: the valid keys; None unless `exposed` is `keys`.
        anonymous: what one without a key may do where there are no keys.
    """

    def __init__(self, exposed: Exposure, keyring: Keyring | None, anonymous: Scope) -> None:
        self.exposed = exposed
        self.keyring = keyring
        self._anybody = Principal(anonymous)
        self._local: set[str] = set()

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Set up what the settings ask for.

        Raises:
            InvalidSettings: nobody would be asked for a key who should be, or no key can be read.
        """
        exposed = exposure(settings)
        keyring = Keyring(settings.keys_file) if settings.keys_file is not None else None
        return cls(exposed, keyring, "read" if exposed == "insecure" else "write")

    def identify(self, scope: AsgiScope) -> Principal:
        """Tell who a request is from. Never raises: what they may do is asked route by route."""
        if self.keyring is not None:
            return _holder(scope, self.keyring)
        if self.exposed == "loopback" and not self._is_local(scope):
            return _REMOTE
        return self._anybody

    def _is_local(self, scope: AsgiScope) -> bool:
        # The address that the connection came in by, as the kernel says it, not a header. The
        # settings know only what `magpie serve` binds to; another server may have bound more.
        server = scope.get("server")
        host = server[0] if server else ""
        if host in self._local:
            return True
        if _is_remote(host):
            return False
        self._local.add(host)
        return True


def authorise(scope: AsgiScope, needed: Scope | None) -> None:
    """Let a request through to a route, or not.

    Args:
        scope: of the request; the front has put a Principal into it.
        needed: what the route declares; None is for everybody.

    Raises:
        KeyRequired: without a valid key.
        ScopeMissing: with a key that does not reach this far, or for a page of a stranger.
    """
    if needed is None:
        return
    principal: Principal = scope[PRINCIPAL]
    if not covers(principal.scope, needed):
        raise _refusal(principal, needed)
    if principal.key is None and needed != "read":
        _check_origin(scope)


def _holder(scope: AsgiScope, keyring: Keyring) -> Principal:
    presented: bytes | None = None
    for name, value in scope["headers"]:
        if name == b"x-api-key":
            found = value
        elif name == b"authorization":
            found = value[len(_BEARER) :] if value[: len(_BEARER)].lower() == _BEARER else b""
        else:
            continue
        if presented is not None:
            # Which of two keys is meant is not ours to guess.
            return _UNKNOWN
        presented = found.strip()
    if presented is None:
        return _MISSING
    key = keyring.verify(presented)
    return _UNKNOWN if key is None else Principal(key.scope, key)


def _refusal(principal: Principal, needed: Scope) -> AccessDenied:
    if principal.unknown == "missing":
        return KeyRequired("This needs an API key.", _SEND_KEY)
    if principal.unknown == "unknown":
        return KeyRequired("This API key is not, or no longer, valid.", _SEND_KEY)
    if principal.unknown == "remote":
        return ScopeMissing(
            "This service has no keys and answers its own machine only.",
            "Start it with MAGPIE_KEYS_FILE.",
        )
    return ScopeMissing(f"This needs an API key of scope {needed}.")


def _check_origin(scope: AsgiScope) -> None:
    """Refuse a change that a page of another site sends through a browser on this machine.

    Without keys a browser is as trusted as its user, and every page it shows would be, too: by
    DNS rebinding even under our own name. Browsers name the page's site with every change.
    """
    for name, value in scope["headers"]:
        if name == b"origin":
            host = urlsplit(value.decode("latin-1")).hostname or ""
            if host != "localhost" and _is_remote(host, unless_address=True):
                raise ScopeMissing(
                    "A page of another site may change nothing here.", "Use keys: MAGPIE_KEYS_FILE."
                )


def _is_remote(host: str, *, unless_address: bool = False) -> bool:
    try:
        return not ipaddress.ip_address(host).is_loopback
    except ValueError:
        # The path of a Unix socket, which has permissions of its own.
        return unless_address
