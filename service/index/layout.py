"""Where everything of a catalogue lies below the indexes folder, and who may write there.

- `indexes/<catalogue>/CURRENT`: the name of the version being served
- `indexes/<catalogue>/JOURNAL.jsonl`: every switch, one JSON object a line
- `indexes/<catalogue>/changes/`: what happened to its items since, see `change_log`
- `indexes/<catalogue>/<version>/`: an immutable version
"""

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from service.artifacts import exclusive_lock, remove_staging
from service.errors import IndexFailure, InvalidInput, PublishConflict, VersionNotFound

CURRENT = "CURRENT"
JOURNAL = "JOURNAL.jsonl"
MANIFEST = "manifest.json"
VECTORS = "vectors.npy"
INDEX = "index.faiss"
ITEMS = "items"
WITHHELD = "withheld.json"
CHANGES = "changes"

CATALOGUE_PATTERN = r"^[a-z0-9][a-z0-9-]{0,62}$"
VERSION_PATTERN = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}-[0-9]{2}-[0-9]{2}Z-[0-9a-f]{4}$"

_MOMENT = "%Y-%m-%dT%H-%M-%SZ"
_PUBLISH_LOCK = ".publish.lock"
_BUILD_LOCK = ".build.lock"
# What is written only under the lock of a build, and may be left half-written.
_UNFINISHED = (".REJECTS.jsonl.*.tmp", "reports/.*.json.*.tmp", "vectors/*/.*.tmp")


def catalogue_folder(indexes: Path, catalogue: str) -> Path:
    """Name the folder of a catalogue; it need not exist.

    Raises:
        InvalidInput: no catalogue may be called that.
    """
    if not _matches(CATALOGUE_PATTERN, catalogue):
        raise InvalidInput(
            f"{catalogue!r} cannot be the name of a catalogue.",
            "Use 1 to 63 lower-case letters, digits and hyphens, and no hyphen at the start.",
        )
    return indexes / catalogue


def version_folder(indexes: Path, catalogue: str, version: str) -> Path:
    """Name the folder of a version that exists.

    Raises:
        VersionNotFound: there is none.
    """
    folder = catalogue_folder(indexes, catalogue) / version
    if not is_version_name(version) or not (folder / MANIFEST).is_file():
        raise VersionNotFound(
            f"{catalogue} has no version {version!r}.", f"Run: magpie index list {catalogue}"
        )
    return folder


def is_version_name(name: str) -> bool:
    """Tell version folders from everything else that lies beside them."""
    return _matches(VERSION_PATTERN, name)


def version_name(created_at: datetime, content_sha256: str) -> str:
    """Name a version after the moment it was built (UTC, seconds) and what it holds."""
    return f"{created_at.astimezone(UTC):{_MOMENT}}-{content_sha256[:4]}"


def version_names(folder: Path) -> list[str]:
    """All complete versions in the folder of a catalogue, oldest first."""
    if not folder.is_dir():
        return []
    return sorted(
        path.name
        for path in folder.iterdir()
        if is_version_name(path.name) and (path / MANIFEST).is_file()
    )


def next_moment(folder: Path, now: datetime) -> datetime:
    """Give a new version its moment: now, but later than that of every version there is.

    Names are the order in which versions are published and pruned. Two builds within a second, or
    one after the clock was set back, would otherwise be ordered by their hashes.

    Args:
        folder: of the catalogue.
        now: with a time zone.

    Returns:
        UTC, whole seconds.
    """
    moment = now.astimezone(UTC).replace(microsecond=0)
    names = version_names(folder)
    if not names:
        return moment
    newest = datetime.strptime(names[-1].rpartition("-")[0], _MOMENT).replace(tzinfo=UTC)
    return max(moment, newest + timedelta(seconds=1))


@contextmanager
def building(folder: Path) -> Iterator[None]:
    """Be the only one who writes versions of a catalogue; what crashed builds left is removed.

    Raises:
        PublishConflict: another build is under way.
    """
    with _only_one(folder / _BUILD_LOCK, f"another build of {folder.name} is under way."):
        remove_staging(folder)
        for pattern in _UNFINISHED:
            for unfinished in folder.glob(pattern):
                unfinished.unlink(missing_ok=True)
        yield


@contextmanager
def publishing(folder: Path) -> Iterator[None]:
    """Be the only one who moves the pointer of a catalogue; what crashes left is removed.

    Raises:
        PublishConflict: another publisher is at work.
    """
    with _only_one(folder / _PUBLISH_LOCK, f"another publisher of {folder.name} is at work."):
        # A build that is alive holds its lock: then there is nothing to sweep up yet.
        with suppress(PublishConflict), building(folder):
            pass
        for pointer in folder.glob(f".{CURRENT}.*.tmp"):
            pointer.unlink(missing_ok=True)
        yield


@contextmanager
def _only_one(lock: Path, refusal: str) -> Iterator[None]:
    with ExitStack() as held:
        try:
            held.enter_context(exclusive_lock(lock))
        except BlockingIOError as error:
            raise PublishConflict(refusal, "Try again when it has finished.") from error
        except OSError as error:
            raise IndexFailure(
                f"{lock.parent.name}/{lock.name} cannot be locked: {error.strerror or error}.",
                "See whether the disk is full, read-only or failing. Nothing was changed.",
            ) from error
        yield


def _matches(pattern: str, name: str) -> bool:
    return re.fullmatch(pattern, name) is not None
