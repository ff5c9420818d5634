"""API keys: `mgp_<id>_<secret>`. The id names a key in lists; the secret is known to its owner.

A secret has 192 bits of chance, so a fast keyed hash keeps it: a slow one protects what people
choose, and would let strangers spend our processor. docs/decisions/0006-closed-by-default.md
"""

import hashlib
import re
import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from service.access.rate import Rate
from service.access.scopes import Scope
from service.errors import InvalidInput

PREFIX: Final = "mgp_"
PEPPER_BYTES: Final = 32
DIGEST_BYTES: Final = 32
ID_PATTERN: Final = r"^[0-9a-f]{8}$"
NAME_PATTERN: Final = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"

_SECRET_BYTES: Final = 24


@dataclass(frozen=True, slots=True)
class Key:
    """What is kept of a key. `digest` tells the secret apart from others, and gives none of it."""

    id: str
    name: str
    scope: Scope
    digest: bytes
    rate: Rate | None
    created_at: datetime


def new_key(
    name: str, scope: Scope, rate: Rate | None, *, pepper: bytes, now: datetime
) -> tuple[Key, str]:
    """Make a key.

    Returns:
        What to keep, and the key itself, which exists nowhere else from here on.

    Raises:
        InvalidInput: the name is not of letters, digits, dots and dashes.
    """
    if re.search(NAME_PATTERN, name) is None or "\n" in name:
        raise InvalidInput(
            "A key's name has 1 to 64 letters, digits, dots, dashes and underscores.",
            "Name who uses it, such as shop-front.",
        )
    key_id = secrets.token_hex(4)
    secret = secrets.token_hex(_SECRET_BYTES)
    kept = Key(key_id, name, scope, digest(secret.encode("ascii"), pepper), rate, now)
    return kept, f"{PREFIX}{key_id}_{secret}"


def digest(secret: bytes, pepper: bytes) -> bytes:
    """Hash a secret: BLAKE2b keyed with the file's own pepper, RFC 7693."""
    return hashlib.blake2b(secret, key=pepper, digest_size=DIGEST_BYTES).digest()
