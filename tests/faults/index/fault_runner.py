"""Runs `magpie …` in children whose disk fails at a chosen call; started by the tests.

One JSON request a line on stdin, one answer a line on stdout. Everything is imported once and each
request runs in a fork, so that hundreds of them take minutes. What the command does to files below
the indexes folder is counted call by call: open for writing, write, flush, close, fsync, rename,
mkdir, unlink, rmdir, and FAISS's own writer. At the chosen call the child is killed, or the call
fails as the kernel would let it fail.
"""

import builtins
import errno
import io
import json
import os
import signal
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import IO, Any

import faiss

import service.cli
import service.pipelines.build_index

# What a full disk refuses, and what it still does.
_TAKES_SPACE = {"open", "write", "flush", "close", "mkdir", "fsync", "faiss"}
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


class Disk:
    """Counts calls below a folder, and lets the chosen one fail."""

    def __init__(self, root: str, mode: str, point: int, code: int) -> None:
        self.root = os.path.realpath(root)
        self.mode = mode
        self.point = point
        self.code = code
        self.calls: list[str] = []
        self.failed = False

    def concerns(self, path: Any) -> bool:
        if isinstance(path, int):
            path = os.readlink(f"/proc/self/fd/{path}")
        # Not resolved: a call on a link concerns the link.
        return str(os.path.abspath(os.fspath(path))).startswith(self.root)

    def meets(self, call: str, path: Any) -> bool:
        """Count a call; returns whether it must fail. Kills where a kill was asked for."""
        if not self.concerns(path):
            return False
        self.calls.append(call)
        here = len(self.calls) - 1 == self.point
        if self.mode == "kill" and here:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.mode == "none" or self.mode == "kill":
            return False
        if here:
            self.failed = True
            return True
        if not self.failed:
            return False
        if self.code in (errno.ENOSPC, errno.EDQUOT):
            return call in _TAKES_SPACE
        return self.code == errno.EROFS

    def fail(self, path: Any) -> None:
        raise OSError(self.code, os.strerror(self.code), str(path))


class WatchedFile:
    """A file open for writing, each of whose calls is met by the disk."""

    def __init__(self, file: IO[Any], path: Any, disk: Disk) -> None:
        self._file = file
        self._path = path
        self._disk = disk

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> "WatchedFile":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Any:
        return iter(self._file)

    def write(self, content: Any) -> int:
        if self._disk.meets("write", self._path):
            if self._disk.mode == "short":
                self._file.write(content[: len(content) // 2])
                self._file.flush()
            self._disk.fail(self._path)
        return self._file.write(content)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        if self._disk.meets("flush", self._path):
            self._disk.fail(self._path)
        self._file.flush()

    def close(self) -> None:
        if self._file.closed:
            return
        fails = self._disk.meets("close", self._path)
        self._file.close()
        if fails:
            self._disk.fail(self._path)


def install(disk: Disk) -> None:
    """Put the disk between this process and the calls that change files."""
    open_ = io.open
    os_open = os.open

    def watched_open(file: Any, mode: str = "r", *rest: Any, **named: Any) -> Any:
        writes = any(letter in mode for letter in "wax+")
        if not writes or not disk.concerns(file):
            return open_(file, mode, *rest, **named)
        if not isinstance(file, int) and disk.meets("open", file):
            disk.fail(file)
        return WatchedFile(open_(file, mode, *rest, **named), file, disk)

    def watched_os_open(path: Any, flags: int, *rest: Any, **named: Any) -> int:
        if flags & _WRITES and named.get("dir_fd") is None and disk.meets("open", path):
            disk.fail(path)
        return os_open(path, flags, *rest, **named)

    def watch(name: str, call: str) -> None:
        original = getattr(os, name)

        def watched(path: Any, *rest: Any, **named: Any) -> Any:
            where = path
            if named.get("dir_fd") is not None:
                where = os.path.join(os.readlink(f"/proc/self/fd/{named['dir_fd']}"), path)
            if disk.meets(call, where):
                disk.fail(where)
            return original(path, *rest, **named)

        setattr(os, name, watched)

    builtins.open = io.open = watched_open
    os.open = watched_os_open
    for name in ("fsync", "rename", "replace", "mkdir", "unlink", "remove", "rmdir", "ftruncate"):
        watch(name, {"replace": "rename", "remove": "unlink", "ftruncate": "write"}.get(name, name))
    write_index = faiss.write_index

    def watched_write_index(index: Any, path: str, *rest: Any) -> None:
        fails = disk.meets("faiss", path)
        write_index(index, path, *rest)
        if fails:
            os.truncate(path, os.path.getsize(path) // 2)
            # A short write on closing is not noticed by FAISS; others are.
            if disk.mode != "short":
                raise RuntimeError("Error in virtual size_t faiss::FileIOWriter: write error")

    faiss.write_index = watched_write_index


def set_clock(moment: str) -> None:
    """Let commands read this time, so that versions built at once have different names."""
    now = datetime.fromisoformat(moment)

    class Clock(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]
            return now

    for name, module in list(sys.modules.items()):
        if name.startswith("service.cli") and hasattr(module, "datetime"):
            setattr(module, "datetime", Clock)  # noqa: B010


def run_child(request: dict[str, Any], report: Path) -> None:
    """Run one command in this process, which is a fork, and end it."""
    told = os.open(report.with_suffix(".told"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(told, 1)
    os.dup2(told, 2)
    os.environ.update(request["environment"])
    set_clock(request["now"])
    disk = Disk(request["root"], request["mode"], request["point"], request["errno"])
    sys.argv = ["magpie", *request["arguments"]]
    os_write = os.write
    install(disk)
    try:
        service.cli.main()
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1
    except BaseException as error:
        sys.stderr.write(f"Traceback: {error!r}\n")
        code = 99
    sys.stdout.flush()
    sys.stderr.flush()
    descriptor = os.open(report, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os_write(descriptor, json.dumps({"code": code, "calls": disk.calls}).encode())
    os._exit(0)


def main() -> None:
    report = Path(sys.argv[1])
    for line in sys.stdin:
        request = json.loads(line)
        report.unlink(missing_ok=True)
        # Written here first: a child may be killed before it has said anything.
        report.with_suffix(".told").write_bytes(b"")
        child = os.fork()
        if child == 0:
            run_child(request, report)
        if request.get("kill_after_s") is not None:
            time.sleep(request["kill_after_s"])
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        answer: dict[str, Any] = {"code": None, "calls": [], "signal": 0}
        if os.WIFSIGNALED(status):
            answer["signal"] = os.WTERMSIG(status)
        else:
            answer.update(json.loads(report.read_text()))
        answer["told"] = report.with_suffix(".told").read_text(errors="replace")
        print(json.dumps(answer), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
