"""Files that a hub lists: which of them we take, and what must be known of them beforehand."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TypeAlias

from service.encoders.registry import FileRecord, ModelRecord
from service.errors import HashMismatch, ModelRejected
from service.pipelines.model_intake import (
    SHIPPED_GRAPH,
    WEIGHTS,
    Weights,
    is_wanted,
    missing_parts,
)

Progress: TypeAlias = Callable[[int, int], None]
"""Called with the bytes done and the bytes in all."""


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be fetched, what is known of it beforehand, and whom to tell.

    `pins` are the files known from the registry and from an earlier lock, as far as they are
    wanted; `endpoint` None is the source itself, no mirror; `hosts` are further hosts to which
    a mirror may redirect large files.
    """

    record: ModelRecord
    pins: Mapping[str, FileRecord]
    weights: Weights
    endpoint: str | None
    hosts: Sequence[str]
    progress: Progress


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """One file as a hub announces it. `sha256` is pinned, or announced by the hub, or None."""

    name: str
    size_bytes: int | None
    sha256: str | None
    url: str


def choose_files(order: Order, listed: Iterable[RemoteFile]) -> list[RemoteFile]:
    """Pick the wanted files out of a hub's list, small ones first.

    Args:
        order: what is wanted.
        listed: everything the hub lists; names are the hub's and not trusted.

    Raises:
        ModelRejected: a name that leaves the folder, or a necessary file is not there.
        HashMismatch: a pinned file is not listed, or is announced as another one.
    """
    model = order.record.id
    listed = list(listed)
    for file in listed:
        if not _stays_inside(file.name):
            raise ModelRejected(f"{model}: the hub lists {file.name!r}, which leaves the folder.")
    wanted = {file.name: file for file in listed if is_wanted(file.name, order.weights)}
    for name in missing_parts(wanted):
        name = SHIPPED_GRAPH if order.weights == "onnx" and name == WEIGHTS else name
        raise ModelRejected(
            f"{model}: the hub has no {name} for it, and we take no other format.",
            order.record.note,
        )
    for name in sorted(order.pins.keys() - wanted.keys()):
        raise HashMismatch(f"{model}: {name} is pinned, but the hub does not list it.")
    pinned = [_pinned(model, file, order.pins.get(file.name)) for file in wanted.values()]
    return sorted(pinned, key=lambda file: (file.size_bytes or 0, file.name))


def _pinned(model: str, file: RemoteFile, pin: FileRecord | None) -> RemoteFile:
    """Refuse before the download what the hub itself says is another file."""
    if pin is None:
        return file
    is_other_size = None not in (file.size_bytes, pin.size_bytes) and (
        file.size_bytes != pin.size_bytes
    )
    if is_other_size or file.sha256 not in (None, pin.sha256):
        raise HashMismatch(f"{model}: the hub announces another {file.name} than is pinned here.")
    size = pin.size_bytes if pin.size_bytes is not None else file.size_bytes
    return RemoteFile(file.name, size, pin.sha256, file.url)


def _stays_inside(name: str) -> bool:
    path = PurePosixPath(name)
    is_plain = name.isprintable() and "\\" not in name and str(path) == name
    return is_plain and name != "." and not path.is_absolute() and ".." not in path.parts
