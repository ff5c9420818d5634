"""Cache keys that two different questions never share."""

from hashlib import blake2b

NAMESPACE = b"magpie:1:"
"""Opens every key. The digit is the version of this key format, not of the stored values."""

_DIGEST_BYTES = 20

KEY_BYTES = len(NAMESPACE) + 2 * _DIGEST_BYTES
"""Length of every key."""


def key_opening(*parts: bytes | str) -> blake2b:
    """Hash the parts that many keys begin with; `cache_key` goes on from there."""
    return blake2b(_written(parts), digest_size=_DIGEST_BYTES)


def cache_key(*parts: bytes | str, after: blake2b | None = None) -> bytes:
    """Hash the parts of a question into one key of 49 printable bytes.

    Put everything in that changes the answer: what is asked, the canonical query, the name of the
    index version. Each part goes in with its type and length, so `"a:b", "c"` and `"a", "b:c"`
    differ, and so do `"a"` and `b"a"`. No user text reaches Redis.

    Args:
        parts: text or bytes, in a fixed order; lone surrogates and NUL are allowed.
        after: from `key_opening`, where its parts come before these.

    Returns:
        `NAMESPACE` and 40 hex digits.
    """
    if after is None:
        digest = key_opening(*parts)
    else:
        digest = after.copy()
        digest.update(_written(parts))
    return NAMESPACE + digest.hexdigest().encode("ascii")


def _written(parts: tuple[bytes | str, ...]) -> bytes:
    pieces: list[bytes] = []
    for part in parts:
        # surrogatepass: an id that came out of broken JSON must still get a key of its own.
        content = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
        kind = b"s" if isinstance(part, str) else b"b"
        pieces += (kind, len(content).to_bytes(8, "big"), content)
    return b"".join(pieces)
