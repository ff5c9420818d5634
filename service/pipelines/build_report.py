"""What a build did: counts, times, rates and sizes, for people and as JSON for programs."""

import resource
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TypeAlias

import orjson

from service.artifacts import write_atomic
from service.index.manifest import Factory
from service.types import ItemId

REPORTS = "reports"
"""One JSON file for each version that was built, in the folder of the catalogue."""

WITHHELD_NAMED = 5
"""Items that the source holds although they were deleted: so many are named."""

Progress: TypeAlias = Callable[[str, int, int | None], None]
"""Told the stage, what is done, and of how many if known."""


@dataclass(frozen=True, slots=True)
class Embedded:
    """Where the vectors of a version came from.

    Args:
        distinct: different texts among the items.
        encoded: texts that were encoded now.
        reused: texts that had been encoded before.
        dropped_segments: files of the vector store that were damaged and had to go.
        unused: rows of a file of vectors that belong to no item.
    """

    distinct: int = 0
    encoded: int = 0
    reused: int = 0
    dropped_segments: int = 0
    unused: int = 0


@dataclass(frozen=True, slots=True)
class BuildReport:
    """What a build did. `seconds` is by stage, `size_bytes` by file of the version.

    `withheld` counts items that were deleted here and that the source still holds;
    `withheld_first` names some of them.
    """

    catalogue: str
    version: str
    model: str
    source: str
    source_sha256: str
    content_sha256: str
    items: int
    rejects: int
    rejects_path: Path | None
    withheld: int
    withheld_first: tuple[ItemId, ...]
    embedded: Embedded
    dim: int
    factory: Factory
    recall_at_10: float
    recall_at_100: float
    seconds: Mapping[str, float]
    size_bytes: Mapping[str, int]
    store_bytes: int
    peak_memory_bytes: int

    @property
    def texts_per_second(self) -> float:
        """Rate of the encode stage, reused vectors left out; 0 if nothing was encoded."""
        return self.embedded.encoded / max(self.seconds.get("encode", 0.0), 1e-9)

    @property
    def total_bytes(self) -> int:
        """Size of the version without its manifest."""
        return sum(self.size_bytes.values())

    def content(self) -> dict[str, object]:
        """Everything, in the form that is written."""
        return {
            "schema_version": 1,
            **asdict(self),
            # Only the name: where a file lay on the machine that built is nobody's business.
            "rejects_path": self.rejects_path.name if self.rejects_path else None,
            "seconds": {stage: round(spent, 3) for stage, spent in self.seconds.items()},
            "texts_per_second": round(self.texts_per_second, 1),
            "total_bytes": self.total_bytes,
        }

    def write(self, folder: Path) -> Path:
        """Write it as `<folder>/reports/<version>.json`; returns the path."""
        path = folder / REPORTS / f"{self.version}.json"
        path.parent.mkdir(exist_ok=True)
        write_atomic(path, orjson.dumps(self.content(), option=orjson.OPT_INDENT_2) + b"\n")
        return path


@dataclass(slots=True)
class Stages:
    """Times the stages of a build and passes their progress on."""

    progress: Progress
    clock: Callable[[], float]
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
        """Time a block; yields what to tell how much of it is done."""
        started = self.clock()
        self.progress(name, 0, total)
        yield lambda done: self.progress(name, done, total)
        self.seconds[name] = self.clock() - started


def peak_memory_bytes() -> int:
    """The most memory this process has held so far, mapped files included."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
