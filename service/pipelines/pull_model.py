"""Pull: a model's upstream files, from wherever they are, into `models/<id>/upstream`.

They arrive in quarantine. Nothing leaves it that has not passed the gate and the hashes, and no
machine-learning library sees a file before that. After a broken connection the quarantine stays,
so that the next pull goes on where this one stopped; after a refusal it is emptied.
"""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Literal, TypeAlias

from service.artifacts import exclusive_lock, fsync_path, remove_staging
from service.encoders.registry import FileRecord, ModelRecord
from service.errors import HashMismatch, HubUnavailable, MagpieError, ModelError, ModelRejected
from service.pipelines.folder_source import copy_from_folder
from service.pipelines.hub_source import fetch_from_hub
from service.pipelines.licence_policy import LicencePolicy, check_licence
from service.pipelines.model_intake import (
    TOKENIZERS,
    Weights,
    admit,
    is_wanted,
)
from service.pipelines.model_lock import (
    LOCK,
    UPSTREAM,
    ModelLock,
    check_files,
    measure,
)
from service.pipelines.model_provenance import new_lock
from service.pipelines.modelscope_source import fetch_from_modelscope
from service.pipelines.package_source import copy_from_package
from service.pipelines.remote_files import Order, Progress

Origin: TypeAlias = Literal["hub", "modelscope"] | Path
"""Where files come from; a path is a folder on this machine."""

QUARANTINE = ".quarantine"
_BUSY = ".busy.tmp"


def pull(
    record: ModelRecord,
    models: Path,
    *,
    endpoint: str | None,
    now: datetime,
    progress: Progress = lambda done, total: None,
    origin: Origin = "hub",
    weights: Weights = "safetensors",
    hosts: Sequence[str] = (),
) -> Path:
    """Bring a model's files here, or verify those that are here already.

    Args:
        record: which model, at which revision, with which hashes.
        models: the folder that holds one folder a model.
        endpoint: address of a mirror; None is the hub, or ModelScope, itself.
        now: the time that goes into a new lock, with a time zone.
        progress: called with bytes done and bytes in all.
        origin: where from; what the registry says comes with a package does so from `hub`.
        weights: whether to fetch the weights, or the graph that the publisher ships.
        hosts: further hosts to which the hub or mirror may redirect large files.

    Returns:
        `models/<id>/upstream`, verified.

    Raises:
        HubUnavailable: no hub answered; nothing is known against the model.
        ModelNotFound: the hub, folder or package is not there.
        ModelRejected: a file of a kind we refuse to have.
        LicenceRefused: the licence is not on the list of accepted ones.
        HashMismatch: a file is not the one that was pinned.
    """
    folder = models / record.id
    upstream = folder / UPSTREAM
    with alone(record.id, folder):
        if upstream.exists():
            verify_upstream(record, models)
            return upstream
        check_licence(record.id, record.licence, LicencePolicy.load(models))
        remove_staging(folder)
        lock = ModelLock.read(folder / LOCK)
        with _quarantined(folder / QUARANTINE, record.revision) as arrived:
            pins = _pins(record, lock, weights)
            order = Order(record, pins, weights, endpoint, hosts, progress)
            source = _bring(order, arrived, origin)
            admit(arrived)
            files = measure(arrived)
            check_files(files, record, lock)
            if lock is None:
                tools = _tools(source)
                lock = new_lock(record, files, folder=folder, source=source, now=now, tools=tools)
                # Before the rename: a crash in between leaves a pin, never an unpinned model.
                lock.write(folder / LOCK)
            _release(arrived, upstream)
    return upstream


def verify_upstream(record: ModelRecord, models: Path) -> ModelLock:
    """Check a pulled model as strictly as at its first pull, without a network.

    Raises:
        ModelRejected: no lock, or a file of a kind we refuse to have.
        LicenceRefused: the licence is not on the list of accepted ones.
        HashMismatch: a file is not the one that was pinned.
    """
    folder = models / record.id
    lock = ModelLock.read(folder / LOCK)
    again = f"Delete models/{record.id}/{UPSTREAM} and run: magpie model pull {record.id}"
    if lock is None:
        raise ModelRejected(f"{record.id} has files but no {LOCK}.", again)
    check_licence(record.id, record.licence, LicencePolicy.load(models))
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


def _pins(
    record: ModelRecord, lock: ModelLock | None, weights: Weights
) -> Mapping[str, FileRecord]:
    """What is known of the wanted files beforehand; the registry overrules the lock."""
    locked = () if lock is None or lock.revision != record.revision else lock.files
    pins = {file.path: FileRecord(file.sha256, file.size_bytes) for file in locked}
    pins |= record.files
    return {name: pin for name, pin in pins.items() if is_wanted(name, weights)}


def _bring(order: Order, folder: Path, origin: Origin) -> str:
    """Fetch the files into quarantine; returns how the lock calls where they came from."""
    record = order.record
    if record.package is not None and origin == "hub":
        copy_from_package(record, folder, progress=order.progress)
        return f"package {record.package}"
    if origin == "hub":
        fetch_from_hub(order, folder)
        return "hub" if order.endpoint is None else "mirror"
    _require_pins(order)
    if origin == "modelscope":
        fetch_from_modelscope(order, folder)
        return "modelscope"
    copy_from_folder(order, origin, folder)
    return "folder"


def _require_pins(order: Order) -> None:
    """Refuse a source that cannot show the commit, unless hashes show the files."""
    ending = ".onnx" if order.weights == "onnx" else ".safetensors"
    unpinned = {"the weights", "config.json", "the tokenizer"}
    for name in order.pins:
        if name.endswith(ending):
            unpinned.discard("the weights")
        unpinned.discard("the tokenizer" if name in TOKENIZERS else name)
    if unpinned:
        raise ModelRejected(
            f"{order.record.id}: only the hub can show that files belong to the pinned commit; "
            f"from elsewhere sha256 must be pinned, and is not for {', '.join(sorted(unpinned))}.",
            f"Bring {LOCK} of this model from a machine that has pulled it from the hub, "
            "or write the hashes into models/registry.toml.",
        )


@contextmanager
def _quarantined(folder: Path, revision: str) -> Iterator[Path]:
    """Yield the folder in which files of this revision arrive, with what an earlier try left."""
    arrived = folder / revision
    try:
        for leftover in folder.glob("*"):
            if leftover != arrived:
                shutil.rmtree(leftover)
        arrived.mkdir(parents=True, exist_ok=True)
        yield arrived
    except HubUnavailable:
        if not any(arrived.rglob("*")):
            shutil.rmtree(folder, ignore_errors=True)
        raise
    except (MagpieError, OSError):
        shutil.rmtree(folder, ignore_errors=True)
        raise
    shutil.rmtree(folder, ignore_errors=True)


def _release(arrived: Path, upstream: Path) -> None:
    for path in sorted(arrived.rglob("*")):
        if path.is_file():
            path.chmod(0o444)
        fsync_path(path)
    fsync_path(arrived)
    arrived.rename(upstream)
    fsync_path(upstream.parent)


def _tools(source: str) -> dict[str, str]:
    is_remote = source in ("hub", "mirror", "modelscope")
    return {"httpx2": version("httpx2")} if is_remote else {}
