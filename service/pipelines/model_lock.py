"""The lock of a model: which files it consists of, to the byte, and where they came from.

`models/<id>/lock.json` is written at the first pull and never changed by a later one. It is
small, belongs into git, and is what every later copy of the model is compared with.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from service.artifacts import sha256_file, write_atomic
from service.encoders.registry import ModelRecord
from service.errors import HashMismatch, ModelRejected

LOCK = "lock.json"
UPSTREAM = "upstream"

_Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class LockedFile(_Strict):
    """One file of the model; its path is relative to the model's upstream folder."""

    path: str
    size_bytes: Annotated[int, Field(ge=0)]
    sha256: _Sha256


class ModelLock(_Strict):
    """`lock.json`: the provenance of a model's upstream files."""

    schema_version: Literal[1] = 1
    id: str
    hub_id: str
    revision: str
    licence: str
    source: str
    """`hub`, `mirror` or `package NAME`; never the name of a host."""
    files: tuple[LockedFile, ...]
    digest: _Sha256
    """sha256 over the sorted (path, sha256) pairs of all files."""
    retrieved_at: str
    tools: Mapping[str, str]

    @classmethod
    def read(cls, path: Path) -> "ModelLock | None":
        """Read a lock; None where the model has never been pulled.

        Raises:
            ModelRejected: the file is there and is no lock.
        """
        try:
            return cls.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return None
        except ValidationError as error:
            fault = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(str(part) for part in fault["loc"])
            raise ModelRejected(
                f"the lock {path.parent.name}/{path.name} is damaged ({where}: {fault['msg']}).",
                "Restore it from git.",
            ) from error

    def write(self, path: Path) -> None:
        """Write the lock, once."""
        text = orjson.dumps(self.model_dump(mode="json"), option=orjson.OPT_INDENT_2)
        write_atomic(path, text + b"\n")


def measure(folder: Path) -> tuple[LockedFile, ...]:
    """Hash every file below a folder, sorted by path."""
    return tuple(
        LockedFile(
            path=path.relative_to(folder).as_posix(),
            size_bytes=path.stat().st_size,
            sha256=sha256_file(path),
        )
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    )


def files_digest(files: tuple[LockedFile, ...]) -> str:
    """One digest for all files of a model."""
    pairs = sorted((file.path, file.sha256) for file in files)
    return hashlib.sha256(orjson.dumps(pairs)).hexdigest()


def check_files(files: tuple[LockedFile, ...], record: ModelRecord, lock: ModelLock | None) -> None:
    """Compare what is here with what was pinned: by the registry, and by an earlier pull.

    Raises:
        HashMismatch: a file differs from its pin, or is missing, or is new since the lock.
    """
    found = {file.path: file for file in files}
    for name, pin in record.files.items():
        file = found.get(name)
        if file is None:
            raise HashMismatch(f"{record.id}: {name} is pinned in the registry but not here.")
        _compare(record.id, file, pin.sha256, pin.size_bytes, "the registry")
    if lock is None:
        return
    if lock.revision != record.revision:
        raise HashMismatch(
            f"{record.id}: the lock is for revision {lock.revision}, "
            f"the registry says {record.revision}.",
            f"If that change is meant, delete models/{record.id}/lock.json and pull again.",
        )
    locked = {file.path: file for file in lock.files}
    for name in sorted(locked.keys() ^ found.keys()):
        word = "missing" if name in locked else "new"
        raise HashMismatch(f"{record.id}: {name} is {word} since the lock was written.")
    for name, pinned in locked.items():
        _compare(record.id, found[name], pinned.sha256, pinned.size_bytes, "the lock")


def _compare(model: str, file: LockedFile, sha256: str, size: int | None, pinned_by: str) -> None:
    if size is not None and file.size_bytes != size:
        raise HashMismatch(
            f"{model}: {file.path} has {file.size_bytes} bytes; {pinned_by} says {size}."
        )
    if file.sha256 != sha256:
        raise HashMismatch(
            f"{model}: {file.path} has sha256 {file.sha256[:12]}…; {pinned_by} says {sha256[:12]}…."
        )
