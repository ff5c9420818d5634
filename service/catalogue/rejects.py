"""The rejects file: every row left out of a catalogue, with its line and the reason."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import orjson

from service.artifacts import fsync_path
from service.catalogue.rows import Reject

_REMEMBERED = 5


@dataclass(slots=True)
class RejectLog:
    """Counts rejects, remembers the first few and writes all to `file`, if there is one."""

    file: IO[bytes] | None
    count: int = 0
    first: list[Reject] = field(default_factory=list)

    def add(self, reject: Reject) -> None:
        """Record one reject."""
        self.count += 1
        if len(self.first) < _REMEMBERED:
            self.first.append(reject)
        if self.file is not None:
            self.file.write(orjson.dumps(reject, option=orjson.OPT_APPEND_NEWLINE))


@contextmanager
def reject_log(path: Path | None) -> Iterator[RejectLog]:
    """Yield a log that replaces `path` when the block ends without an error.

    Without a reject, `path` does not exist afterwards: a file there would be of an earlier run.
    """
    if path is None:
        yield RejectLog(None)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("wb") as file:
            log = RejectLog(file)
            yield log
            file.flush()
            os.fsync(file.fileno())
        if log.count:
            temporary.replace(path)
        else:
            path.unlink(missing_ok=True)
    finally:
        temporary.unlink(missing_ok=True)
    fsync_path(path.parent)
