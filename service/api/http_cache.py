"""What browsers and proxies may keep of the GET forms, and how they ask whether it still holds.

An answer is named by the key that our own cache knows it by: version, state of its changes and
question. It is a weak validator, as every answer carries its own request id. Always `private`:
where there are keys, a shared cache would give to anybody what only their holders may see.
"""

import re
from typing import Final

from service.cache.keys import KEY_BYTES, NAMESPACE

_DIGEST: Final = re.compile(rb'"([0-9a-f]{%d})"' % (KEY_BYTES - len(NAMESPACE)))
# One for every variant that a browser may hold; longer lists are nobody's.
_HELD_MAX: Final = 16


def etag_of(key: bytes) -> bytes:
    """The entity tag of the answer under a cache key."""
    return b'W/"%b"' % key[len(NAMESPACE) :]


def held_keys(if_none_match: bytes) -> tuple[bytes, ...]:
    """The cache keys in an If-None-Match header; tags that are not ours are passed over."""
    found = _DIGEST.findall(if_none_match)
    return tuple(NAMESPACE + digest for digest in found[:_HELD_MAX])


def cache_control(seconds: int) -> bytes:
    """What Cache-Control says of an answer that may be reused without asking for some time."""
    return b"private, max-age=%d" % seconds if seconds else b"private, no-cache"
