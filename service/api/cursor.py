"""Where a list goes on: a signed note of what was shown, so that no server remembers it.

A page is the same question without the items of the pages before it, so an item never comes
twice, whatever an approximate search finds the second time and whatever was put meanwhile.

    version (8)   digest of the index version's name
    rows (2)      how many items were shown
    fresh (2)     how many of them were fresh
    4 a row       row of the version, or beyond its last one the place of a fresh item below
    8 a fresh     hash of its id: rows of fresh items move when others are deleted
    signature (16)   BLAKE2b over all that and the question, keyed

Signed so that accidents are noticed. The key is MAGPIE_CURSOR_KEY or, without one, follows from
the manifest of the version, which every process that serves it has: a cursor then goes on at any
of them. Who knows the files could forge one, and would gain what `exclude` gives anybody.
"""

import hmac
import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as NotBase64
from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Final

from service.catalogue.ids import hash64
from service.errors import CursorExpired, InvalidCursor
from service.index.shelf import Shelf
from service.types import ItemId

SHOWN_MAX: Final = 1000
"""Items of a list over all its pages."""

_HEAD: Final = struct.Struct("<8sHH")
_SIGNATURE_BYTES: Final = 16
_TAG_BYTES: Final = 8


class Cursors:
    """Writes and reads cursors.

    Args:
        key: the operator's own, None to derive one from each version.
    """

    def __init__(self, key: bytes | None) -> None:
        # Any length is as good as another; BLAKE2b takes up to 64 bytes.
        self._key = None if key is None else blake2b(key).digest()

    def write(
        self, question: bytes, shelf: Shelf, shown: Sequence[ItemId], rows: Sequence[int]
    ) -> str | None:
        """Note what has been shown; None where the list is as long as any may be.

        Args:
            question: the query in canonical form, without what was shown.
            shelf: what answered it.
            shown: items of earlier pages that are still there.
            rows: rows of this page.
        """
        every = [row for row in shelf.rows(shown) if row is not None] if shown else []
        every += rows
        if len(every) >= SHOWN_MAX:
            return None
        places, fresh = _places(every, shelf)
        note = b"%b%b%b" % (
            _HEAD.pack(_tag(shelf), len(places), len(fresh)),
            struct.pack(f"<{len(places)}I", *places),
            struct.pack(f"<{len(fresh)}Q", *fresh),
        )
        signed = note + self._signature(note, question, shelf)
        return urlsafe_b64encode(signed).rstrip(b"=").decode("ascii")

    def read(self, cursor: str, question: bytes, shelf: Shelf) -> tuple[ItemId, ...]:
        """Return the items shown so far that are still there, in order.

        Raises:
            CursorExpired: it is of a version that is no longer served.
            InvalidCursor: it was changed, or is of another question.
        """
        try:
            signed = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
            tag, count, fresh_count = _HEAD.unpack_from(signed)
        except (NotBase64, ValueError, struct.error):
            raise _invalid() from None
        note, signature = signed[:-_SIGNATURE_BYTES], signed[-_SIGNATURE_BYTES:]
        if len(note) != _HEAD.size + 4 * count + 8 * fresh_count:
            raise _invalid()
        if tag != _tag(shelf):
            raise CursorExpired(
                "The index version of this cursor is no longer served.",
                "Start again without a cursor.",
            )
        if not hmac.compare_digest(signature, self._signature(note, question, shelf)):
            raise _invalid()
        places = struct.unpack_from(f"<{count}I", note, _HEAD.size)
        fresh = struct.unpack_from(f"<{fresh_count}Q", note, _HEAD.size + 4 * count)
        return _ids(places, fresh, shelf)

    def _signature(self, note: bytes, question: bytes, shelf: Shelf) -> bytes:
        key = self._key or shelf.snapshot.manifest.seal.encode("ascii")
        # The note says how long it is itself, so no two pairs run together to the same bytes.
        return blake2b(note + question, key=key, digest_size=_SIGNATURE_BYTES).digest()


def _places(rows: list[int], shelf: Shelf) -> tuple[list[int], list[int]]:
    frozen = len(shelf.snapshot.table)
    fresh: list[int] = []
    if max(rows, default=0) < frozen:
        return rows, fresh
    places = []
    for row in rows:
        if row >= frozen:
            fresh.append(hash64(shelf.id(row).encode(errors="surrogatepass")))
            row = frozen + len(fresh) - 1
        places.append(row)
    return places, fresh


def _ids(places: Sequence[int], fresh: Sequence[int], shelf: Shelf) -> tuple[ItemId, ...]:
    frozen = len(shelf.snapshot.table)
    now = {}
    if fresh:
        ids = (each.item.id for each in shelf.fresh.items)
        now = {hash64(item_id.encode(errors="surrogatepass")): item_id for item_id in ids}
    found = []
    for place in places:
        if place < frozen:
            # By its id: it may have been replaced since, and has another row then.
            found.append(shelf.snapshot.table.id(place))
        elif (item_id := now.get(fresh[place - frozen])) is not None:
            found.append(item_id)
    return tuple(found)


def _tag(shelf: Shelf) -> bytes:
    return _tag_of(shelf.snapshot.name)


@lru_cache(maxsize=8)
def _tag_of(name: str) -> bytes:
    return blake2b(name.encode(), digest_size=_TAG_BYTES).digest()


def _invalid() -> InvalidCursor:
    return InvalidCursor(
        "This cursor was changed, or belongs to another request.",
        "Send the very request that it came with, or start again without a cursor.",
    )
