"""The file that holds what is known of keys: read by the service, written by `magpie key`."""

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from service.access.keys import DIGEST_BYTES, ID_PATTERN, NAME_PATTERN, PEPPER_BYTES, Key
from service.access.rate import Rate
from service.access.scopes import Scope
from service.artifacts import exclusive_lock, write_atomic
from service.errors import InvalidSettings

SETTING: Final = "MAGPIE_KEYS_FILE"
_MODE: Final = 0o600
# Its group may read it: that is how Kubernetes hands a secret to a user that is not root.
_FORBIDDEN_MODE: Final = 0o027
_SIZE_MAX: Final = 16 << 20


@dataclass(frozen=True, slots=True)
class KeyFile:
    """The content of a keys file. `pepper` is chance that belongs to this file alone."""

    pepper: bytes
    keys: tuple[Key, ...] = ()

    @classmethod
    def new(cls) -> Self:
        """Begin a file without a key."""
        return cls(secrets.token_bytes(PEPPER_BYTES))

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read and check a file.

        Raises:
            FileNotFoundError: there is none.
            InvalidSettings: others may read it, or it is not what `magpie key` writes. Names the
                setting and never the content.
        """
        try:
            with path.open("rb") as file:
                _check_mode(path, os.fstat(file.fileno()).st_mode)
                content = file.read(_SIZE_MAX)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise InvalidSettings(
                f"{SETTING}: {path} cannot be read: {error.strerror}.",
                "Give the file to the user that the service runs as.",
            ) from None
        try:
            return cls._of(_Stored.model_validate_json(content))
        except ValidationError as error:
            where = ".".join(str(part) for part in error.errors(include_input=False)[0]["loc"])
            raise InvalidSettings(
                f"{SETTING}: {path} is not a file of keys; wrong is {where or 'all of it'}.",
                "Only `magpie key` writes it.",
            ) from None

    @classmethod
    def _of(cls, stored: "_Stored") -> Self:
        return cls(
            bytes.fromhex(stored.pepper),
            tuple(
                Key(
                    each.id,
                    each.name,
                    each.scope,
                    bytes.fromhex(each.digest),
                    None if each.rate is None else Rate.parse(each.rate),
                    each.created_at,
                )
                for each in stored.keys
            ),
        )

    def write(self, path: Path) -> None:
        """Replace the file, readable by its owner alone."""
        stored = _Stored(
            format=1,
            pepper=self.pepper.hex(),
            keys=[
                _StoredKey(
                    id=each.id,
                    name=each.name,
                    scope=each.scope,
                    digest=each.digest.hex(),
                    rate=None if each.rate is None else str(each.rate),
                    created_at=each.created_at,
                )
                for each in self.keys
            ],
        )
        write_atomic(path, stored.model_dump_json(indent=1).encode() + b"\n", mode=_MODE)

    def with_key(self, key: Key) -> Self:
        """Add a key."""
        return replace(self, keys=(*self.keys, key))

    def without(self, id_or_name: str) -> Self:
        """Remove the key of an id, or all keys of a name; the same file where there is none."""
        kept = tuple(each for each in self.keys if id_or_name not in (each.id, each.name))
        return replace(self, keys=kept)


@contextmanager
def changing(path: Path) -> Iterator[None]:
    """Keep other writers out for the length of a block.

    Raises:
        InvalidSettings: another command is changing the keys.
    """
    try:
        with exclusive_lock(path.with_name(f".{path.name}.lock")):
            yield
    except BlockingIOError:
        raise InvalidSettings(
            f"{SETTING}: another command is changing the keys.", "Try again after it."
        ) from None


def _check_mode(path: Path, mode: int) -> None:
    if not stat.S_ISREG(mode):
        raise InvalidSettings(f"{SETTING}: {path} is not a regular file.")
    if stat.S_IMODE(mode) & _FORBIDDEN_MODE:
        raise InvalidSettings(
            f"{SETTING}: others may read or change {path} (mode {stat.S_IMODE(mode):04o}).",
            f"chmod 600 {path}",
        )


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _StoredKey(_Strict):
    id: Annotated[str, Field(pattern=ID_PATTERN)]
    name: Annotated[str, Field(pattern=NAME_PATTERN)]
    scope: Scope
    digest: Annotated[str, Field(pattern=rf"^[0-9a-f]{{{2 * DIGEST_BYTES}}}$")]
    rate: Annotated[str, Field(pattern=r"^[1-9][0-9]{0,8}/[smh]$")] | None = None
    created_at: AwareDatetime


class _Stored(_Strict):
    format: Literal[1]
    # A short pepper would be a weak one.
    pepper: Annotated[str, Field(pattern=rf"^[0-9a-f]{{{2 * PEPPER_BYTES}}}$")]
    keys: Annotated[list[_StoredKey], Field(max_length=100_000)]
