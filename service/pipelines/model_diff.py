"""What differs between two locks, or between a lock and the files that are here."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from service.errors import ModelNotFound
from service.pipelines.model_lock import LOCK, UPSTREAM, ModelLock, files_digest, measure
from service.pipelines.safetensors_header import Json

ABSENT = "-"


@dataclass(frozen=True, slots=True)
class Difference:
    """One place in which two locks differ."""

    where: str
    left: str
    right: str


def diff_locks(left: ModelLock, right: ModelLock) -> list[Difference]:
    """Compare two locks field by field; files are told apart by their path."""
    flat_left, flat_right = dict(_flat(left)), dict(_flat(right))
    return [
        Difference(where, flat_left.get(where, ABSENT), flat_right.get(where, ABSENT))
        for where in sorted(flat_left.keys() | flat_right.keys())
        if flat_left.get(where, ABSENT) != flat_right.get(where, ABSENT)
    ]


def lock_of_disk(models: Path, model_id: str, lock: ModelLock) -> ModelLock:
    """The lock as it would be if the files that are here now were the right ones.

    Raises:
        ModelNotFound: there are none.
    """
    upstream = models / model_id / UPSTREAM
    if not upstream.is_dir():
        raise ModelNotFound(
            f"no upstream files of {model_id!r} are here.", f"Run: magpie model pull {model_id}"
        )
    files = measure(upstream)
    return lock.model_copy(update={"files": files, "digest": files_digest(files)})


def find_lock(models: Path, wanted: str) -> ModelLock:
    """Read a lock by model id, or by the path of its file.

    Raises:
        ModelNotFound: there is none.
        ModelRejected: it is damaged.
    """
    path = Path(wanted) if wanted.endswith(".json") else models / wanted / LOCK
    lock = ModelLock.read(path)
    if lock is None:
        raise ModelNotFound(f"no lock of {wanted!r} is here.", "Pull the model, or name its file.")
    return lock


def _flat(lock: ModelLock) -> Iterator[tuple[str, str]]:
    content = lock.model_dump(mode="json", exclude={"seal", "files"})
    yield from _leaves("", content)
    for file in lock.files:
        yield f"files/{file.path}", f"{file.sha256} ({file.size_bytes} bytes)"


def _leaves(where: str, node: Json) -> Iterator[tuple[str, str]]:
    if isinstance(node, Mapping):
        for key, value in node.items():
            yield from _leaves(f"{where}/{key}".lstrip("/"), value)
    elif isinstance(node, Sequence) and not isinstance(node, str):
        for number, value in enumerate(node):
            yield from _leaves(f"{where}/{number}", value)
    else:
        yield where, str(node)
