"""The lock of a model: which files it consists of, to the byte, and where they came from.

`models/<id>/lock.json` is written at the first pull. Its files and their digest never change
afterwards; `magpie model lock` adds what has been learnt since. It is small, belongs into git,
and is what every later copy of the model is compared with. Specified in models/lock.schema.json.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import orjson
from pydantic import Field, ValidationError

from service.artifacts import sha256_bytes, sha256_file, write_atomic
from service.encoders.registry import ModelRecord
from service.errors import HashMismatch, ModelRejected
from service.pipelines.file_roles import Role, media_type, role_of
from service.pipelines.lock_sections import Provenance, Section, Sha256
from service.pipelines.model_intake import SHIPPED_GRAPH, is_wanted
from service.pipelines.safetensors_header import Json

LOCK = "lock.json"
UPSTREAM = "upstream"


class LockedFile(Section):
    """One file of the model; its path is relative to the model's upstream folder."""

    path: str
    size_bytes: Annotated[int, Field(ge=0)]
    sha256: Sha256
    role: Role = "other"
    media_type: str = "application/octet-stream"


class ModelLock(Section):
    """`lock.json`: the provenance of a model's upstream files."""

    schema_version: Literal[1, 2] = 2
    id: str
    hub_id: str
    revision: str
    licence: str
    source: str
    """`hub`, `mirror`, `modelscope`, `folder` or `package NAME`; never the name of a host."""
    files: tuple[LockedFile, ...]
    """All files; no others are permitted."""
    digest: Sha256
    """sha256 over the sorted (path, sha256) pairs of all files; exports and indexes name it."""
    retrieved_at: str
    tools: Mapping[str, str]
    provenance: Provenance = Provenance()
    seal: Sha256 | None = None
    """sha256 over all other fields; put in when the lock is written."""

    @classmethod
    def read(cls, path: Path) -> "ModelLock | None":
        """Read a lock; None where the model has never been pulled.

        Raises:
            ModelRejected: the file is there and is no lock, or was changed by hand.
        """
        try:
            content = path.read_bytes()
            lock = cls.model_validate_json(content)
        except FileNotFoundError:
            return None
        except ValidationError as error:
            fault = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(str(part) for part in fault["loc"])
            raise _damaged(path, f"{where}: {fault['msg']}") from error
        if lock.digest != files_digest(lock.files):
            raise _damaged(path, "its digest does not follow from its files")
        # Over the content as it stands: a lock stays whole when this program learns new fields.
        if lock.seal != (_seal(orjson.loads(content)) if lock.schema_version > 1 else None):
            raise _damaged(path, "its seal does not follow from its content")
        return lock

    def sealed(self) -> "ModelLock":
        """The same lock with the seal that follows from its content."""
        return self.model_copy(update={"seal": _seal(self.model_dump(mode="json"))})

    def write(self, path: Path) -> None:
        """Write the lock with its seal."""
        text = orjson.dumps(self.sealed().model_dump(mode="json"), option=orjson.OPT_INDENT_2)
        write_atomic(path, text + b"\n")


def measure(folder: Path) -> tuple[LockedFile, ...]:
    """Hash every file below a folder, sorted by path."""
    files = []
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            name = path.relative_to(folder).as_posix()
            files.append(
                LockedFile(
                    path=name,
                    size_bytes=path.stat().st_size,
                    sha256=sha256_file(path),
                    role=role_of(name),
                    media_type=media_type(name),
                )
            )
    return tuple(files)


def files_digest(files: tuple[LockedFile, ...]) -> str:
    """One digest for all files of a model."""
    pairs = sorted((file.path, file.sha256) for file in files)
    return hashlib.sha256(orjson.dumps(pairs)).hexdigest()


def check_files(files: tuple[LockedFile, ...], record: ModelRecord, lock: ModelLock | None) -> None:
    """Compare what is here with what was pinned: by the registry, and by an earlier pull.

    Raises:
        HashMismatch: a file differs from its pin, or is missing, or is new since the lock.
    """
    for _, complaint in find_mismatches(files, record, lock):
        hint = ""
        if lock is not None and lock.revision != record.revision:
            hint = f"If that change is meant, delete models/{record.id}/{LOCK} and pull again."
        raise HashMismatch(complaint, hint)


def find_mismatches(
    files: tuple[LockedFile, ...], record: ModelRecord, lock: ModelLock | None
) -> list[tuple[str, str]]:
    """List what differs from the pins as (file, complaint), the registry's pins first."""
    found = {file.path: file for file in files}
    has_weights = any(name.endswith(".safetensors") for name in found)
    form: Literal["safetensors", "onnx"] = (
        "onnx" if SHIPPED_GRAPH in found and not has_weights else "safetensors"
    )
    faults = []
    for name, pin in record.files.items():
        file = found.get(name)
        if file is not None:
            faults += _differences(record.id, file, pin.sha256, pin.size_bytes, "the registry")
        elif is_wanted(name, form):
            faults.append((name, f"{record.id}: {name} is pinned in the registry but not here."))
    if lock is None:
        return faults
    if lock.revision != record.revision:
        complaint = f"the lock is for revision {lock.revision}, the registry says {record.revision}"
        faults.append((LOCK, f"{record.id}: {complaint}."))
    locked = {file.path: file for file in lock.files}
    for name in sorted(locked.keys() ^ found.keys()):
        word = "missing" if name in locked else "new"
        faults.append((name, f"{record.id}: {name} is {word} since the lock was written."))
    for name in sorted(locked.keys() & found.keys()):
        pinned = locked[name]
        faults += _differences(record.id, found[name], pinned.sha256, pinned.size_bytes, "the lock")
    return faults


def _differences(
    model: str, file: LockedFile, sha256: str, size: int | None, pinned_by: str
) -> list[tuple[str, str]]:
    if size is not None and file.size_bytes != size:
        fact = f"{file.path} has {file.size_bytes} bytes; {pinned_by} says {size}."
    elif file.sha256 != sha256:
        fact = f"{file.path} has sha256 {file.sha256[:12]}…; {pinned_by} says {sha256[:12]}…."
    else:
        return []
    return [(file.path, f"{model}: {fact}")]


def _seal(content: dict[str, Json]) -> str:
    unsealed = {key: value for key, value in content.items() if key != "seal"}
    return sha256_bytes(orjson.dumps(unsealed, option=orjson.OPT_SORT_KEYS))


def _damaged(path: Path, reason: str) -> ModelRejected:
    return ModelRejected(
        f"the lock {path.parent.name}/{path.name} is damaged ({reason}).", "Restore it from git."
    )
