"""The keys that are valid now: a file that is looked at again and again."""

import logging
import os
import secrets
from hmac import compare_digest
from pathlib import Path
from typing import Final

from service.access.key_file import SETTING, KeyFile
from service.access.keys import DIGEST_BYTES, PREFIX, Key, digest
from service.errors import InvalidSettings

_log = logging.getLogger(__name__)

# Longer than any of ours; what is presented beyond this is not worth hashing.
_PRESENTED_MAX_BYTES: Final = 128

_Stamp = tuple[int, int, int, int]


class Keyring:
    """Answers whose key a secret is. `verify` is for the event loop; `refresh` may run elsewhere.

    A file that turns unusable while we run leaves the keys as they were, is logged, and stands in
    `last_error`. A file that is gone leaves no key at all.

    Args:
        path: the keys file.

    Raises:
        InvalidSettings: the file is absent, unusable, or without a key.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp = _stamp(path)
        self.last_error: str | None = None
        # What an unknown id is compared with, so that it takes the time of a known one.
        self._nobody = secrets.token_bytes(DIGEST_BYTES)
        hint = f"magpie key create --name NAME --scope read, with {SETTING} set."
        try:
            content = KeyFile.read(path)
        except FileNotFoundError:
            raise InvalidSettings(f"{SETTING}: there is no {path}.", hint) from None
        if not content.keys:
            raise InvalidSettings(f"{SETTING}: {path} holds no key.", hint)
        self._take(content)

    def __len__(self) -> int:
        return len(self._held[1])

    def verify(self, presented: bytes) -> Key | None:
        """Return the key that was presented, or None where it is not, or no longer, one of ours.

        Takes the same time for a wrong secret whatever of it is right; for an unknown id the same
        work is done, so that there is no shortcut to notice.
        """
        if len(presented) > _PRESENTED_MAX_BYTES:
            return None
        prefix, _, secret = presented.rpartition(b"_")
        pepper, keys = self._held
        known = keys.get(prefix)
        expected = self._nobody if known is None else known.digest
        return known if compare_digest(digest(secret, pepper), expected) else None

    def refresh(self) -> bool:
        """Look at the file; take it over if it changed. Returns whether it did.

        One `stat` where it did not. Never raises for what is wrong with the file.
        """
        stamp = _stamp(self._path)
        if stamp == self._stamp:
            return False
        self._stamp = stamp
        try:
            content = KeyFile.read(self._path)
        except FileNotFoundError:
            _log.error("%s: %s is gone; no key is valid any more", SETTING, self._path)
            content = KeyFile.new()
        except InvalidSettings as error:
            self.last_error = error.message
            _log.error("%s The keys stay as they were. %s", error.message, error.hint)
            return False
        self.last_error = None
        self._take(content)
        _log.info("%s: %d keys are valid now", SETTING, len(content.keys))
        return True

    def _take(self, content: KeyFile) -> None:
        # One attribute, so that another thread sees the old pair or the new one.
        self._held = (
            content.pepper,
            {f"{PREFIX}{each.id}".encode("ascii"): each for each in content.keys},
        )


def _stamp(path: Path) -> _Stamp | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size, found.st_mode
