"""Who asks, and what they may do: decided once a request, before anything is answered."""

import ipaddress
import math
from dataclasses import dataclass, replace
from typing import Final, Literal, Self, TypeAlias
from urllib.parse import urlsplit

from starlette.types import Scope as AsgiScope

from service.access.keyring import Keyring
from service.access.keys import Key
from service.access.limiter import Limiter
from service.access.scopes import Scope, covers
from service.api.exposure import Exposure, exposure
from service.errors import AccessDenied, KeyRequired, Overloaded, RateExceeded, ScopeMissing
from service.settings import Settings

PRINCIPAL: Final = "magpie.principal"
"""Scope entry where the front leaves who asks."""

_BEARER: Final = b"bearer "
_SEND_KEY: Final = "Send one as `Authorization: Bearer KEY`, or as `X-API-Key: KEY`."

# With and without ports; more would be somebody who tries them all.
_OWN_NAMES_MAX: Final = 64

NoScope: TypeAlias = Literal["missing", "unknown", "remote", "rate"]


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks. `scope` None may do nothing but look at public routes."""

    scope: Scope | None
    key: Key | None = None
    why_not: NoScope | None = None
    """Why there is no scope: no key, a wrong one, not of this machine, or too many requests."""
    wait_s: float = 0.0
    """With `rate`: until the next request may pass."""
    is_alone: bool = False
    """The key's rate is counted in this process only, as the shared counter is out of reach."""


_MISSING: Final = Principal(None, why_not="missing")
_UNKNOWN: Final = Principal(None, why_not="unknown")
_REMOTE: Final = Principal(None, why_not="remote")


class Guard:
    """Tells who a request is from.

    Args:
        exposed: who may ask at all.
        keyring: the valid keys; None unless `exposed` is `keys`.
        anonymous: what one without a key may do where there are no keys.
        limiter: counts the requests of keys that have a rate.
    """

    def __init__(
        self, exposed: Exposure, keyring: Keyring | None, anonymous: Scope, limiter: Limiter
    ) -> None:
        self.exposed = exposed
        self.keyring = keyring
        self.limiter = limiter
        self._anybody = Principal(anonymous)
        self._addresses: set[str] = set()
        self._sockets: set[str] = set()
        self._own_names: set[bytes] = set()

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Set up what the settings ask for.

        Raises:
            InvalidSettings: nobody would be asked for a key who should be, or no key can be read.
        """
        exposed = exposure(settings)
        keyring = Keyring(settings.keys_file) if settings.keys_file is not None else None
        anonymous: Scope = "read" if exposed == "insecure" else "write"
        return cls(exposed, keyring, anonymous, Limiter(settings.workers))

    def of_admin(self) -> Self:
        """The guard of the admin listener: the same keys; without any, this machine alone."""
        exposed: Exposure = "loopback" if self.keyring is None else "keys"
        return type(self)(exposed, self.keyring, "admin", self.limiter)

    async def identify(self, scope: AsgiScope) -> Principal:
        """Tell who a request is from, and count it for their key.

        Never raises: what they may do is asked route by route.
        """
        if self.keyring is not None:
            holder = _holder(scope, self.keyring)
            if holder.key is None or holder.key.rate is None:
                return holder
            return await self._counted(holder, holder.key)
        if self.exposed == "loopback" and not self._is_local(scope):
            return _REMOTE
        return self._anybody

    async def charge(self, scope: AsgiScope, more: int) -> None:
        """Count the further questions of a request that holds several.

        Raises:
            RateExceeded: they are more than the key may ask now.
        """
        key: Key | None = scope[PRINCIPAL].key
        if key is None or more <= 0:
            return
        if wait_s := await self.limiter.wait_s(key, more, is_further=True):
            raise _too_often(wait_s)

    async def _counted(self, holder: Principal, key: Key) -> Principal:
        wait_s = await self.limiter.wait_s(key)
        if wait_s:
            return Principal(None, key, why_not="rate", wait_s=wait_s)
        return replace(holder, is_alone=self.limiter.is_alone(key))

    def _is_local(self, scope: AsgiScope) -> bool:
        """Tell whether a request comes from this machine, by a caller who knows that it does.

        A page whose name was turned to this machine (DNS rebinding) could read everything here, so
        `Host` has to name the machine, too; who reaches a Unix socket is no browser.
        """
        # The address that the connection came in by, as the kernel says it, not a header. The
        # settings know only what `magpie serve` binds to; another server may have bound more.
        server = scope.get("server")
        host = server[0] if server else ""
        if host in self._sockets:
            return True
        if host not in self._addresses:
            if _is_remote(host):
                return False
            is_address = not _is_remote(host, unless_address=True)
            (self._addresses if is_address else self._sockets).add(host)
            return self._is_local(scope)
        for name, value in scope["headers"]:
            if name == b"host" and value not in self._own_names and not self._is_own(value):
                return False
        return True

    def _is_own(self, host: bytes) -> bool:
        if not _is_this_machine("//" + host.decode("latin-1")):
            return False
        if len(self._own_names) < _OWN_NAMES_MAX:
            self._own_names.add(host)
        return True


def authorise(scope: AsgiScope, needed: Scope | None) -> None:
    """Let a request through to a route, or not.

    Args:
        scope: of the request; the front has put a Principal into it.
        needed: what the route declares; None is for everybody.

    Raises:
        KeyRequired: without a valid key.
        ScopeMissing: with a key that does not reach this far, or for a page of a stranger.
        RateExceeded: with a key that has asked as much as it may.
        Overloaded: to steer the service, with a key whose requests cannot be counted just now.
    """
    if needed is None:
        return
    principal: Principal = scope[PRINCIPAL]
    if not covers(principal.scope, needed):
        raise _refusal(principal, needed)
    if needed == "admin" and principal.is_alone:
        raise Overloaded("The shared count of requests is out of reach.", "Mend Redis first.")
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
    if principal.why_not == "rate":
        return _too_often(principal.wait_s)
    if principal.why_not == "missing":
        return KeyRequired("This needs an API key.", _SEND_KEY)
    if principal.why_not == "unknown":
        return KeyRequired("This API key is not, or no longer, valid.", _SEND_KEY)
    if principal.why_not == "remote":
        return ScopeMissing(
            "This service has no keys and answers its own machine only.",
            "Start it with MAGPIE_KEYS_FILE.",
        )
    return ScopeMissing(f"This needs an API key of scope {needed}.")


def _too_often(wait_s: float) -> RateExceeded:
    return RateExceeded(
        "This API key has asked as much as it may.", retry_after_s=max(1, math.ceil(wait_s))
    )


def _check_origin(scope: AsgiScope) -> None:
    """Refuse a change that a page of another site sends through a browser on this machine.

    Without keys a browser is as trusted as its user, and every page it shows would be, too: by
    DNS rebinding even under our own name. Browsers name the page's site with every change.
    """
    for name, value in scope["headers"]:
        if name == b"origin" and not _is_this_machine(value.decode("latin-1")):
            raise ScopeMissing(
                "A page of another site may change nothing here.", "Use keys: MAGPIE_KEYS_FILE."
            )


def _is_this_machine(address: str) -> bool:
    """Tell whether an address such as `http://localhost:8000` names the machine it is asked on."""
    try:
        host = urlsplit(address).hostname or ""
    except ValueError:
        return False
    return host == "localhost" or not _is_remote(host, unless_address=True)


def _is_remote(host: str, *, unless_address: bool = False) -> bool:
    try:
        return not ipaddress.ip_address(host).is_loopback
    except ValueError:
        # The path of a Unix socket, which has permissions of its own.
        return unless_address
