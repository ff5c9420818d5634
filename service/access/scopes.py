"""What a key may do: three scopes, each holding the ones before it."""

from typing import Final, Literal, TypeAlias, get_args

Scope: TypeAlias = Literal["read", "write", "admin"]
"""read: ask. write: also change items. admin: also steer the service."""

SCOPES: Final[tuple[Scope, ...]] = get_args(Scope)

_RANK: Final = {scope: rank for rank, scope in enumerate(SCOPES)}


def covers(held: Scope | None, needed: Scope) -> bool:
    """Tell whether who holds a scope (None: nothing) may do what needs another."""
    return held is not None and _RANK[held] >= _RANK[needed]
