"""What a request is remembered by, so that the same one is answered without being read again."""

from typing import Final

from service.index.shelf import Shelf

LONGEST: Final = 4096
"""Bytes of a body. Longer requests are rare, and not worth a second key in memory."""


def asked_by_get(path: bytes, query: bytes) -> bytes:
    """What makes a GET the same as another."""
    return b"%s?%s" % (path, query)


def repeat_key(asked: bytes, shelf: Shelf) -> bytes:
    """Name a request: `asked` is its body, or what `asked_by_get` says.

    A new version or a change makes a new name, so what was remembered before is not found.
    """
    return b"%s\0%s\0%s" % (shelf.snapshot.name.encode(), shelf.revision.encode(), asked)
