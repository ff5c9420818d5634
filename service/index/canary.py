"""A child process that opens an index first, with limits, so that a hostile file kills only it.

FAISS trusts the bytes it reads, and a valid hash says who wrote them, not that they are harmless.
So before a version is published, and before a service opens one that nobody has examined, a fresh
interpreter opens and searches it: without our environment, with a bound on memory and time, unable
to write a byte, and without a network where the kernel allows that. Its death is a refusal.
"""

import ctypes
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, ValidationError

from service.errors import CorruptArtifact, MagpieError
from service.index.figures import Figures, Parity, compare, measure
from service.index.snapshot import open_snapshot

# Room for what is not mapped: blocks of scores, lists, the stacks of threads.
_MEMORY_SPARE: Final = 1 << 30
# A file may be mapped, read into memory, and grow while it is read.
_MEMORY_FACTOR: Final = 3
_SECONDS: Final = 60.0
_BYTES_A_SECOND: Final = 20e6
_ANSWER_BYTES: Final = 1 << 16
_OUT_OF_MEMORY: Final = 70
_CLONE_NEWUSER: Final = 0x10000000
_CLONE_NEWNET: Final = 0x40000000
_PACKAGES: Final = Path(__file__).resolve().parents[2]


class Examination(BaseModel):
    """What was measured. `parity` is None unless one model made both versions."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    candidate: Figures
    previous: Figures | None = None
    parity: Parity | None = None


class _Answer(BaseModel):
    """What the child writes: what it found, or why the version may not be used."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    found: Examination | None = None
    refusal: str = ""


def examine(
    folder: Path, previous: Path | None = None, *, seconds: float | None = None
) -> Examination:
    """Open a version in a child process and let it measure what the gates want to know.

    Verify hashes before: this is the second line of defence.

    Args:
        folder: the version.
        previous: the version it is compared with, verified too.
        seconds: for the child's work; by default a minute and more for large files.

    Returns:
        What was measured.

    Raises:
        CorruptArtifact: the child refused it, died, or used up its memory or time.
    """
    name = f"{folder.parent.name}/{folder.name}"
    size = _size(folder) + (_size(previous) if previous else 0)
    seconds = seconds or _SECONDS + size / _BYTES_A_SECOND
    memory = _MEMORY_SPARE + _MEMORY_FACTOR * size
    folders = [str(each.resolve()) for each in (folder, previous) if each is not None]
    try:
        ended = subprocess.run(
            [sys.executable, "-P", "-m", __name__, str(memory), str(int(seconds) + 1), *folders],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=_environment(),
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise _refused(name, f"it was not done after {seconds:.0f} s") from error
    if ended.returncode != 0:
        raise _refused(name, _death(ended.returncode))
    try:
        answer = _Answer.model_validate_json(ended.stdout[:_ANSWER_BYTES])
    except ValidationError as error:
        raise _refused(name, "its answer made no sense") from error
    if answer.found is None:
        raise CorruptArtifact(f"{name}: {answer.refusal}", "Build the index again.")
    return answer.found


def look(folder: Path, previous: Path | None) -> Examination:
    """Do the child's work: open, measure, compare. Verify hashes before.

    Raises:
        CorruptArtifact: a version cannot be opened.
    """
    candidate = open_snapshot(folder, verify=False)
    figures = measure(candidate)
    if previous is None:
        return Examination(candidate=figures)
    before = open_snapshot(previous, verify=False)
    same_model = candidate.manifest.model == before.manifest.model
    return Examination(
        candidate=figures,
        previous=measure(before),
        parity=compare(candidate, before) if same_model else None,
    )


def _main(arguments: list[str]) -> int:
    memory, seconds, folder, *previous = arguments
    _give_up_rights(int(memory), int(seconds))
    try:
        answer = _Answer(found=look(Path(folder), Path(previous[0]) if previous else None))
    except MagpieError as error:
        answer = _Answer(refusal=error.message)
    except MemoryError:
        return _OUT_OF_MEMORY
    sys.stdout.write(answer.model_dump_json())
    return 0


def _give_up_rights(memory: int, seconds: int) -> None:
    """Limit this process; `memory` comes on top of what the imports have taken."""
    limits = {
        resource.RLIMIT_CPU: seconds,
        # Nothing can be written to a file; the answer goes into a pipe.
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
    }
    if sys.platform == "linux":
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        limits[resource.RLIMIT_AS] = memory + pages * resource.getpagesize()
        # Root keeps its rights in a new network; others need a new user namespace with it. Where
        # the kernel or a container forbids both, the network stays: there is no secret to send.
        flags = _CLONE_NEWNET if os.geteuid() == 0 else _CLONE_NEWNET | _CLONE_NEWUSER
        ctypes.CDLL(None, use_errno=True).unshare(flags)
    for limit, value in limits.items():
        resource.setrlimit(limit, (value, value))


def _environment() -> dict[str, str]:
    """Only what Python needs to find itself: no password, no setting of ours."""
    kept = {
        name: os.environ[name]
        for name in ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "LANG")
        if name in os.environ
    }
    paths = [str(_PACKAGES), *filter(None, [kept.get("PYTHONPATH")])]
    return {
        **kept,
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _death(code: int) -> str:
    if code == _OUT_OF_MEMORY:
        return "it asked for more memory than an index of this size needs"
    if code < 0:
        return f"the process that opened it was ended by {signal.Signals(-code).name}"
    return f"the process that opened it ended with code {code}"


def _refused(name: str, why: str) -> CorruptArtifact:
    return CorruptArtifact(f"{name} could not be opened safely: {why}.", "Build the index again.")


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
