"""`JOURNAL.jsonl`: every switch of a catalogue's pointer, and what was served before what."""

import logging
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from service.artifacts import fsync_path
from service.index.gates import Gate
from service.index.layout import JOURNAL, VERSION_PATTERN

_log = logging.getLogger(__name__)

_Version = Annotated[str, Field(pattern=VERSION_PATTERN)]
Action = Literal["publish", "rollback"]


class Examined(BaseModel):
    """That every byte of a version was hashed and a child process opened it, and which bytes.

    `seal` is the manifest's, `files` the version's `fingerprint` at that time.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    seal: str
    files: str


class Entry(BaseModel):
    """One line: when, what, from which version to which. `before` is null the first time.

    `forced` says that gates failed and somebody published all the same.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    time: datetime
    action: Action
    before: Annotated[_Version | None, Field(alias="from")]
    after: Annotated[_Version, Field(alias="to")]
    forced: bool = False
    gates: tuple[Gate, ...] = ()
    examined: Examined | None = None


def append(
    folder: Path,
    action: Action,
    before: str | None,
    after: str,
    now: datetime,
    *,
    forced: bool = False,
    gates: Sequence[Gate] = (),
    examined: Examined | None = None,
) -> None:
    """Write a line and force it to the disk. Call it before the pointer is replaced."""
    path = folder / JOURNAL
    entry = Entry(
        time=now.astimezone(UTC).replace(microsecond=0),
        action=action,
        before=before,
        after=after,
        forced=forced,
        gates=tuple(gates),
        examined=examined,
    )
    line = entry.model_dump_json(by_alias=True, exclude_defaults=True).encode() + b"\n"
    if _ends_torn(path):
        line = b"\n" + line
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    with os.fdopen(descriptor, "wb") as file:
        file.write(line)
        file.flush()
        os.fsync(file.fileno())
    fsync_path(folder)


def read(folder: Path) -> list[Entry]:
    """All entries, oldest first. A line torn by a crash is skipped with a warning."""
    try:
        lines = (folder / JOURNAL).read_bytes().splitlines()
    except FileNotFoundError:
        return []
    entries = []
    for number, line in enumerate(lines, 1):
        if not line:
            continue
        try:
            entries.append(Entry.model_validate_json(line))
        except ValidationError:
            _log.warning("%s/%s: line %d is no entry, skipped", folder.name, JOURNAL, number)
    return entries


def examined(entries: Sequence[Entry], version: str) -> Examined | None:
    """What the last full examination of a version saw; None if it was never published."""
    found = (each.examined for each in reversed(entries) if each.after == version)
    return next((each for each in found if each is not None), None)


def served(entries: Sequence[Entry], current: str | None) -> list[str]:
    """The versions that a rollback can walk down, oldest first, the current one last.

    Publishing puts a version on top. A rollback to a version that is in the list cuts off
    everything after it, so that a second rollback goes one further down and never back up. A
    rollback to any other version puts that one on top.

    The line is written before the pointer moves, so a line counts only if the pointer was seen to
    have moved: by the line after it, or now.
    """
    walk: list[str] = []
    for number, entry in enumerate(entries):
        arrived = entries[number + 1].before if number + 1 < len(entries) else current
        if arrived != entry.after:
            continue
        if entry.action == "rollback" and entry.after in walk:
            newest = len(walk) - 1 - walk[::-1].index(entry.after)
            del walk[newest + 1 :]
        elif walk[-1:] != [entry.after]:
            walk.append(entry.after)
    if current is not None and walk[-1:] != [current]:
        walk.append(current)
    return walk


def _ends_torn(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read(1) != b"\n"
    except OSError:
        # There is no journal yet, or it is empty.
        return False
