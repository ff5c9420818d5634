"""Unpack: a file from elsewhere becomes a model, or nothing does.

Nothing in it is trusted. Only plain files are read, only under names that the manifest lists, in
a staging folder; what has arrived must then pass the same checks as an export made here.
"""

import hashlib
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from pydantic import ValidationError

from service.artifacts import fsync_path, sha256_file, staged_folder
from service.encoders.custody import check_custody
from service.encoders.exports import ExportManifest, exports_folder, set_current
from service.encoders.registry import ModelRecord
from service.errors import HashMismatch, ModelNotFound, ModelRejected
from service.pipelines.licence_policy import LicencePolicy, check_licence
from service.pipelines.model_lock import LOCK, ModelLock
from service.pipelines.model_pack import (
    MANIFEST_LIMIT,
    PACK_MANIFEST,
    Member,
    PackManifest,
)
from service.pipelines.pull_model import alone

_CHUNK_BYTES = 1 << 20
_EXPORTS = "exports"
_HINT = "Nothing of it was kept. Pack the model again and compare the sha256 of the file."


def unpack(
    file: Path, models: Path, *, record: ModelRecord | None = None, sha256: str | None = None
) -> str:
    """Take a model out of a pack and make its export the one in use.

    Args:
        file: what `pack` wrote.
        models: the folder that holds one folder a model.
        record: what the registry here says of this model; None if it does not know it.
        sha256: of the file, as told by another way; None compares nothing.

    Returns:
        The model's id.

    Raises:
        ModelNotFound: there is no such file.
        HashMismatch: the file, or a member, has another hash, or a lock here says otherwise.
        ModelRejected: a member that is no plain file, has no place, or is not listed.
        CorruptArtifact, ModelMismatch: the members do not make up one model.
        LicenceRefused: its licence is not on the list of accepted ones.
    """
    if not file.is_file():
        raise ModelNotFound(f"there is no file {file.name!r}.")
    if sha256 is not None and sha256_file(file) != sha256.lower():
        raise HashMismatch(f"{file.name} is not the file with sha256 {sha256[:12]}….", _HINT)
    models.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".staging-", dir=models) as name:
        staging = Path(name)
        manifest = _read_all(file, staging)
        with alone(manifest.id, models / manifest.id):
            _check(manifest, staging / manifest.id, staging, models, record)
            _install(manifest, staging / manifest.id, models / manifest.id)
    return manifest.id


def peek(file: Path) -> PackManifest:
    """Read the manifest of a pack and nothing else.

    Raises:
        ModelNotFound: there is no such file.
        ModelRejected: it is no pack.
    """
    if not file.is_file():
        raise ModelNotFound(f"there is no file {file.name!r}.")
    with _opened(file) as tar:
        return _read_manifest(tar)


@contextmanager
def _opened(file: Path) -> Iterator[tarfile.TarFile]:
    try:
        # "r:" accepts no compression: sizes are what they seem.
        with tarfile.open(file, "r:") as tar:
            yield tar
    except tarfile.TarError as error:
        raise ModelRejected(f"{file.name} is not a pack ({error}).", _HINT) from error


def _read_all(file: Path, staging: Path) -> PackManifest:
    with _opened(file) as tar:
        manifest = _read_manifest(tar)
        expected = {member.path: member for member in manifest.members}
        if len(expected) != len(manifest.members):
            raise ModelRejected(f"{PACK_MANIFEST} names a file twice.", _HINT)
        while (found := tar.next()) is not None:
            member = expected.pop(found.name, None)
            if member is None:
                raise ModelRejected(f"{found.name[:200]!r} is not listed, or comes twice.", _HINT)
            _read_member(tar, found, member, staging / manifest.id)
        for path in expected:
            raise ModelRejected(f"{path} is listed but not there.", _HINT)
    return manifest


def _read_manifest(tar: tarfile.TarFile) -> PackManifest:
    first = tar.next()
    if first is None or first.name != PACK_MANIFEST:
        raise ModelRejected(f"the file does not begin with {PACK_MANIFEST}.", _HINT)
    _refuse_unless_plain(first)
    source = tar.extractfile(first)
    if first.size > MANIFEST_LIMIT or source is None:
        raise ModelRejected(f"{PACK_MANIFEST} is too large.", _HINT)
    try:
        return PackManifest.model_validate_json(source.read())
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in fault["loc"])
        raise ModelRejected(f"{PACK_MANIFEST}: {where}: {fault['msg']}.", _HINT) from error


def _refuse_unless_plain(found: tarfile.TarInfo) -> None:
    is_plain = found.type in (tarfile.REGTYPE, tarfile.AREGTYPE) and found.sparse is None
    if not is_plain or found.linkname:
        kind = "a link" if found.issym() or found.islnk() else "no plain file"
        raise ModelRejected(f"{found.name[:200]!r} is {kind}.", _HINT)


def _read_member(
    tar: tarfile.TarFile, found: tarfile.TarInfo, member: Member, folder: Path
) -> None:
    _refuse_unless_plain(found)
    if found.size != member.size_bytes:
        raise HashMismatch(f"{member.path} has {found.size} bytes, listed otherwise.", _HINT)
    source = tar.extractfile(found)
    assert source is not None
    # The manifest's pattern leaves no way out of the folder, and the folder is ours alone.
    path = folder / member.path
    path.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with path.open("xb") as output:
        while chunk := source.read(_CHUNK_BYTES):
            digest.update(chunk)
            output.write(chunk)
    if digest.hexdigest() != member.sha256:
        raise HashMismatch(f"{member.path} is not the file that was packed.", _HINT)


def _check(
    manifest: PackManifest,
    arrived: Path,
    staging: Path,
    models: Path,
    record: ModelRecord | None,
) -> None:
    lock = ModelLock.read(arrived / LOCK)
    if lock is None or (lock.id, lock.digest) != (manifest.id, manifest.lock_digest):
        raise ModelRejected("the pack's lock is missing or is another model's.", _HINT)
    check_licence(lock.id, lock.licence, LicencePolicy.load(models))
    here = ModelLock.read(models / manifest.id / LOCK)
    if here is not None and here.digest != lock.digest:
        raise HashMismatch(
            f"{manifest.id} has a lock here for other files than the pack was made from.",
            f"If that change is meant, move models/{manifest.id} away first.",
        )
    pinned = None if record is None else (record.revision, record.hub_id, record.licence)
    if pinned not in (None, (lock.revision, lock.hub_id, lock.licence)):
        raise HashMismatch(f"{manifest.id}: the pack is not of the revision the registry pins.")
    exports = sorted(path for path in (arrived / _EXPORTS).glob("*") if path.is_dir())
    if manifest.current not in [export.name for export in exports]:
        raise ModelRejected(f"the pack has no export {manifest.current}.", _HINT)
    for export in exports:
        _check_export(manifest, export, staging)


def _check_export(manifest: PackManifest, export: Path, staging: Path) -> None:
    exported = ExportManifest.read(export)
    exported.verify(export)
    identity = exported.identity
    if identity.id != manifest.id or identity.digest[:12] != export.name:
        raise ModelRejected(
            f"{_EXPORTS}/{export.name} is another export than its name says.", _HINT
        )
    check_custody(staging, exported, index_lock=None)


def _install(manifest: PackManifest, arrived: Path, folder: Path) -> None:
    for export in sorted((arrived / _EXPORTS).iterdir()):
        final = exports_folder(folder.parent, manifest.id) / export.name
        if final.exists():
            # The name is the digest of the content; what is damaged is replaced.
            for path in export.iterdir():
                path.replace(final / path.name)
            fsync_path(final)
            continue
        with staged_folder(final) as staging:
            for path in export.iterdir():
                path.replace(staging / path.name)
    for path in sorted(arrived.iterdir()):
        if path.is_file() and not (folder / path.name).exists():
            path.replace(folder / path.name)
    fsync_path(folder)
    set_current(exports_folder(folder.parent, manifest.id) / manifest.current)
