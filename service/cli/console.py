"""What a person at a terminal sees: one console, progress bars, tables, errors."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from service.errors import MagpieError

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)

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


@contextmanager
def stages() -> Iterator[Callable[[str, int, int | None], None]]:
    """Show one bar per named stage, added when the stage begins; yields what moves them."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
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


@contextmanager
def failures_told() -> Iterator[None]:
    """Turn a named failure into two lines and its exit code; a bug keeps its traceback."""
    try:
        yield
    except MagpieError as error:
        err.print("[bold red]error[/]", error.message, markup=True)
        if error.hint:
            err.print("[bold]→[/]", error.hint)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        err.print("stopped")
        sys.exit(130)
