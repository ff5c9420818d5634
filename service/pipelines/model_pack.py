"""One file with everything a machine without a network needs of a model.

A plain tar, nothing compressed, written the same way every time: first `manifest.json` with the
hash of every other member, then the members in order. Reading it trusts nothing but hashes: only
plain files that the manifest names, each once, each with its size and sha256; see `unpack`.
"""

import io
import tarfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, BinaryIO, Literal

import orjson
from pydantic import Field

from service.artifacts import sha256_bytes, sha256_file
from service.encoders.custody import check_custody
from service.encoders.exports import MANIFEST as EXPORT_MANIFEST
from service.encoders.exports import ExportManifest, exports_folder, find_export
from service.encoders.registry import ModelRecord
from service.errors import ModelError, ModelNotFound
from service.pipelines.licence_policy import LicencePolicy, check_licence
from service.pipelines.lock_sections import Section, Sha256
from service.pipelines.model_lock import LOCK, ModelLock

PACK_MANIFEST = "manifest.json"
RECORD = "record.json"
MANIFEST_LIMIT = 4 << 20

_BESIDE = ("LICENSE", "card.md", "golden.json", "red-team.json")
MemberPath = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*){0,3}$")
]


class Member(Section):
    """One file of a pack; its path is relative to the model's folder."""

    path: MemberPath
    size_bytes: Annotated[int, Field(ge=0)]
    sha256: Sha256


class PackManifest(Section):
    """The first member of a pack: what the others are."""

    schema_version: Literal[1] = 1
    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
    lock_digest: Sha256
    current: Annotated[str, Field(pattern=r"^[0-9a-f]{12}$")]
    """Which of the exports is the one in use."""
    members: Annotated[tuple[Member, ...], Field(min_length=1, max_length=1000)]


def pack(record: ModelRecord, models: Path, target: Path, *, all_exports: bool = False) -> str:
    """Put a model's export, lock, record and licence into one file.

    Args:
        record: what the registry says.
        models: the folder that holds one folder a model.
        target: the file to write; replaced if it is there.
        all_exports: not only the export in use.

    Returns:
        The sha256 of the file, to be carried by another way than the file.

    Raises:
        ModelNotFound: the model has not been exported, or has no lock.
        CorruptArtifact: a file of the export is not the one that was exported.
        ModelMismatch: the chain from the lock to the export is broken.
        LicenceRefused: the licence is not on the list of accepted ones.
    """
    check_licence(record.id, record.licence, LicencePolicy.load(models))
    folder = models / record.id
    lock = ModelLock.read(folder / LOCK)
    current = find_export(models, record.id)
    if lock is None:
        raise ModelNotFound(f"{record.id} has no {LOCK}.", f"Run: magpie model pull {record.id}")
    every = sorted(exports_folder(models, record.id).glob(f"*/{EXPORT_MANIFEST}"))
    exports = [path.parent for path in every] if all_exports else [current]
    text = orjson.dumps(asdict(record), option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS)
    members = [Member(path=RECORD, size_bytes=len(text), sha256=sha256_bytes(text))]
    paths = [folder / name for name in (LOCK, *_BESIDE) if (folder / name).is_file()]
    for export in exports:
        paths += _export_files(models, export)
    members += [_measure(path, folder) for path in paths]
    manifest = PackManifest(
        id=record.id, lock_digest=lock.digest, current=current.name, members=tuple(members)
    )
    head = orjson.dumps(manifest.model_dump(mode="json"), option=orjson.OPT_INDENT_2)
    _write(target, {PACK_MANIFEST: head, RECORD: text}, folder, members)
    return sha256_file(target)


def _export_files(models: Path, export: Path) -> Iterator[Path]:
    manifest = ExportManifest.read(export)
    manifest.verify(export)
    check_custody(models, manifest, index_lock=None)
    yield export / EXPORT_MANIFEST
    for name in sorted(manifest.files):
        yield export / name


def _measure(path: Path, folder: Path) -> Member:
    name = path.relative_to(folder).as_posix()
    return Member(path=name, size_bytes=path.stat().st_size, sha256=sha256_file(path))


def _write(target: Path, texts: dict[str, bytes], folder: Path, members: "list[Member]") -> None:
    """Write the tar under another name first: a pack is whole or absent."""
    part = target.with_name(f".{target.name}.tmp")
    try:
        with tarfile.open(part, "w:", format=tarfile.GNU_FORMAT) as tar:
            for name, text in texts.items():
                _add(tar, name, len(text), io.BytesIO(text))
            for member in members:
                if member.path in texts:
                    continue
                with (folder / member.path).open("rb") as source:
                    _add(tar, member.path, member.size_bytes, source)
        part.replace(target)
    except OSError as error:
        raise ModelError(
            f"the pack could not be written: {error.strerror or error}.", "Is the disk full?"
        ) from error
    finally:
        part.unlink(missing_ok=True)


def _add(tar: tarfile.TarFile, name: str, size: int, source: BinaryIO) -> None:
    # Owner, time and mode are left at the same values, so that equal content is equal bytes.
    member = tarfile.TarInfo(name)
    member.size = size
    member.mode = 0o644
    tar.addfile(member, source)
