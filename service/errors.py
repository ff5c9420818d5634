"""Every failure Magpie names, as one tree. Layers raise these; only the edges translate them.

MagpieError
├── InvalidInput             what the caller sent cannot be used
│   ├── InvalidQuery         a recommend request that contradicts itself or exceeds a limit
│   ├── InvalidCursor        a cursor that was changed, or is of another request
│   ├── TextSearchUnavailable  a text for an index of vectors that were brought along
│   ├── InvalidFilter        a filter on an unknown key, or a range on a key without numbers
│   ├── InvalidItem          an item that cannot be put into the catalogue
│   └── InvalidCatalogue     a file of items that cannot be read, or has too many bad rows
├── NotFound
│   ├── ItemNotFound
│   ├── ModelNotFound        not in the registry, or not pulled or exported yet
│   └── VersionNotFound      no such index version, or none published yet
├── ModelError
│   ├── HubUnavailable       no hub answered; nothing is known against the model
│   ├── ModelRejected        a file we refuse to have: format, code, link, extra
│   ├── LicenceRefused       a licence that is not on the list of accepted ones
│   ├── HashMismatch         a file that is not the one that was pinned
│   ├── ParityFailed         the exported graph does not give the reference's vectors
│   ├── ModelMismatch        index and encoder are not of one model
│   └── EncodingFailed       the model returned NaN, infinity or a wrong shape
├── IndexFailure
│   ├── CorruptArtifact      bytes on disk are not the ones the manifest names
│   ├── PublishConflict      another publisher holds the lock
│   ├── ChangesNotStored     the disk refuses changes of items; nothing was accepted
│   └── TooManyChanges       more fresh items than are searched beside an index
├── ToolMissing              a package that only this step needs is not installed
├── AccessDenied
│   ├── KeyRequired          no key, or one that is not or no longer valid
│   ├── ScopeMissing         a valid key that does not reach this far
│   └── RateExceeded         more requests than the key may send
├── CursorExpired            a cursor of an index version that is no longer served
├── Overloaded               more work is waiting than can be finished in time
├── DeadlineExceeded         nobody waits for the answer any more
└── InvalidSettings          a MAGPIE_* variable that cannot be used
"""

from typing import ClassVar


class MagpieError(Exception):
    """Base of all. `code` is stable and for programs, the message is for people.

    `exit_code` is what a command ends with; 2 is not used, it means a wrong command line.

    Args:
        message: what is wrong, with the value where that is safe to show.
        hint: what to do about it, one sentence; empty where the message says it already.
    """

    code: ClassVar[str] = "internal"
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class InvalidInput(MagpieError):
    """What the caller sent cannot be used."""

    code = "invalid_input"


class InvalidQuery(InvalidInput):
    """A recommend request that contradicts itself or exceeds a limit."""

    code = "invalid_query"


class InvalidCursor(InvalidInput):
    """A cursor that was changed, or that belongs to another request."""

    code = "invalid_cursor"


class TextSearchUnavailable(InvalidInput):
    """A text for an index of vectors that were brought along, without a model."""

    code = "text_search_unavailable"


class InvalidFilter(InvalidInput):
    """A filter on an unknown key, or a range on a key that holds no numbers.

    `given` is the unknown key: whoever catches this may see it, an answer never repeats it.
    """

    code = "invalid_filter"

    def __init__(self, message: str, hint: str = "", given: str = "") -> None:
        super().__init__(message, hint)
        self.given = given

    def __str__(self) -> str:
        return f"{self.message} {self.given} {self.hint}" if self.given else super().__str__()


class InvalidItem(InvalidInput):
    """An item that cannot be put into the catalogue. `flaws` has the place and reason of each."""

    code = "invalid_item"

    def __init__(self, message: str, hint: str = "", flaws: tuple[tuple[str, str], ...] = ()):
        super().__init__(message, hint)
        self.flaws = flaws


class InvalidCatalogue(InvalidInput):
    """A file of items that cannot be read, or that has more bad rows than allowed."""

    code = "invalid_catalogue"


class NotFound(MagpieError):
    """Something asked for by name does not exist."""

    code = "not_found"


class ItemNotFound(NotFound):
    """The index does not know the item."""

    code = "item_not_found"


class ModelNotFound(NotFound):
    """The model is not in the registry, or has not been pulled or exported yet."""

    code = "model_not_found"


class VersionNotFound(NotFound):
    """No such index version, or none published yet."""

    code = "version_not_found"


class ModelError(MagpieError):
    """A model cannot be trusted or used."""

    code = "model_error"


class HubUnavailable(ModelError):
    """No hub answered. Says nothing against the model."""

    code = "hub_unavailable"


class ModelRejected(ModelError):
    """A model folder holds a file we refuse to have: wrong format, code, a link, an extra."""

    code = "model_rejected"


class LicenceRefused(ModelError):
    """A model's licence is not on the list of accepted ones."""

    code = "model_licence_refused"


class HashMismatch(ModelError):
    """A model file is not the one that was pinned."""

    code = "model_hash_mismatch"


class ParityFailed(ModelError):
    """The exported graph does not give the reference's vectors."""

    code = "model_parity_failed"


class ModelMismatch(ModelError):
    """Index and encoder are not of one model; their vectors must not meet."""

    code = "model_mismatch"


class EncodingFailed(ModelError):
    """The model returned NaN, infinity or a wrong shape for a batch."""

    code = "encoding_failed"


class IndexFailure(MagpieError):
    """An index cannot be written, published or opened."""

    code = "index_failure"


class CorruptArtifact(IndexFailure):
    """Bytes on disk are not the ones the manifest names."""

    code = "corrupt_artifact"


class PublishConflict(IndexFailure):
    """Another publisher holds the lock of this catalogue."""

    code = "publish_conflict"
    exit_code = 3


class PublishRefused(IndexFailure):
    """A version is whole, but fails a gate: too few items, too low a recall, other neighbours."""

    code = "publish_refused"
    exit_code = 4


class ChangesNotStored(IndexFailure):
    """The disk refuses changes of items; none of them was accepted."""

    code = "changes_not_stored"


class TooManyChanges(IndexFailure):
    """More fresh items than are searched beside an index; a rebuild takes them in."""

    code = "too_many_changes"


class ToolMissing(MagpieError):
    """A package that only this step needs is not installed."""

    code = "tool_missing"
    exit_code = 5


class AccessDenied(MagpieError):
    """The caller may not do this."""

    code = "access_denied"


class KeyRequired(AccessDenied):
    """No key, or one that is not, or no longer, valid."""

    code = "key_required"


class ScopeMissing(AccessDenied):
    """A valid key whose scope does not reach this far."""

    code = "scope_missing"


class RateExceeded(AccessDenied):
    """More requests than the key may send. `retry_after_s`: whole seconds until it may again."""

    code = "rate_exceeded"

    def __init__(self, message: str, hint: str = "", *, retry_after_s: int) -> None:
        super().__init__(message, hint)
        self.retry_after_s = retry_after_s


class CursorExpired(MagpieError):
    """A cursor of an index version that is no longer served."""

    code = "cursor_expired"


class Overloaded(MagpieError):
    """More work is waiting than can be finished in time; try again after a moment."""

    code = "overloaded"


class DeadlineExceeded(MagpieError):
    """The time that the caller would wait was up before the answer was there."""

    code = "deadline_exceeded"


class InvalidSettings(MagpieError):
    """A MAGPIE_* variable or command-line option that cannot be used."""

    code = "invalid_settings"
