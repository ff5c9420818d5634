"""What a person at a terminal sees: one console, progress bars, tables, errors."""

import errno
import logging
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from service.errors import MagpieError

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)

# Nobody's bug: told in two lines too, wherever they come from.
_DISK_FAILURES = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EACCES, errno.EPERM}

Report = Callable[[int, int | None], None]
"""Called with what is done and what there is in all, None while that is unknown."""


@contextmanager
def progress(title: str, *, as_bytes: bool = False) -> Iterator[Report]:
    """Show a bar on stderr while a block runs; yields what moves it."""
    amount: ProgressColumn = DownloadColumn() if as_bytes else MofNCompleteColumn()
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        amount,
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err, transient=True) as bars:
        task = bars.add_task(title, total=None)

        def report(done: int, total: int | None) -> None:
            bars.update(task, completed=done, total=total)

        yield report


class _RateColumn(ProgressColumn):
    """How much is done in a second."""

    def render(self, task: Task) -> Text:
        """Show the rate of the last moments, or of the whole once it is over."""
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.0f}/s", style="progress.data.speed")


@contextmanager
def stages() -> Iterator[Callable[[str, int, int | None], None]]:
    """Show one bar per named stage, added when the stage begins; yields what moves them."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _RateColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err, transient=True) as bars:
        tasks = {}

        def report(stage: str, done: int, total: int | None) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=None)
            bars.update(tasks[stage], completed=done, total=total)

        yield report


def logs_to_stderr(level: int) -> None:
    """Let the log go to stderr; what chatty libraries say only when everything is wanted."""
    logging.basicConfig(
        level=level, format="%(asctime)s %(levelname)-7s %(name)s: %(message)s", force=True
    )
    if level > logging.DEBUG:
        for chatty in ("httpx", "httpx2", "huggingface_hub", "filelock", "asyncio", "torch"):
            logging.getLogger(chatty).setLevel(logging.WARNING)


def end_well_when_told_to() -> None:
    """Let SIGTERM end this process with 0 from now on.

    While an index is opened: as process 1 of a container there is no default action.
    """
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))


@contextmanager
def failures_told() -> Iterator[None]:
    """Turn a named failure into two lines and its exit code; a bug keeps its traceback."""
    try:
        yield
    except MagpieError as error:
        _tell(error.message, error.hint)
        sys.exit(error.exit_code)
    except OSError as error:
        if error.errno not in _DISK_FAILURES:
            raise
        _tell(
            f"the disk refused: {error}",
            "What was served still is. Make room, or see to the disk.",
        )
        sys.exit(1)
    except KeyboardInterrupt:
        err.print("stopped")
        sys.exit(130)


def _tell(message: str, hint: str) -> None:
    # Escaped: a message may hold square brackets, such as `pip install 'magpie[sql]'`.
    err.print("[bold red]error[/]", escape(message))
    if hint:
        err.print("[bold]→[/]", escape(hint))
