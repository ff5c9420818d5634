"""Objects that name a key twice: parsers disagree on which one counts, so we refuse them."""

import json
import re
from typing import Final

# A quoted text, and the colon behind it if it is a key. Without backslashes every second quote ends
# a text.
_TEXTS: Final = re.compile(rb'"[^"]*"(?:[ \t\r\n]*:)?')


class _DuplicateKeyError(ValueError):
    pass


def has_duplicate_keys(body: bytes) -> bool:
    """Tell whether some object in a JSON text has the same key twice.

    Text that is not JSON has none: saying so is the validator's business.
    """
    if b"\\" not in body:
        # Most bodies name no key twice anywhere, and one look at their quotes shows it.
        texts = _TEXTS.findall(body)
        keys = [each.rstrip(b": \t\r\n") for each in texts if each.endswith(b":")]
        if len(set(keys)) == len(keys):
            return False
    try:
        _DECODER.decode(body.decode())
    except _DuplicateKeyError:
        return True
    except (ValueError, RecursionError):
        return False
    return False


def _refuse_duplicates(pairs: list[tuple[str, object]]) -> None:
    if len({key for key, _ in pairs}) != len(pairs):
        raise _DuplicateKeyError


# Made once: `json.loads` makes one for every call.
_DECODER = json.JSONDecoder(object_pairs_hook=_refuse_duplicates)
