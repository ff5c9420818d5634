"""`magpie doctor`: what is fine here, what is not, and what to do."""

import sys

from rich.table import Table
from rich.text import Text

from service.cli.console import out
from service.settings import Settings

_MARKS = {"fine": ("✓", "green"), "note": ("·", "yellow"), "wrong": ("✗", "bold red")}


def doctor() -> None:
    """Look at Python, processor, models, index, Redis and port; exit with 1 if one is wrong."""
    from service.pipelines.diagnose import diagnose

    findings = diagnose(Settings.from_environment())
    table = Table(box=None, show_header=False, padding=(0, 1))
    for finding in findings:
        mark, style = _MARKS[finding.verdict]
        table.add_row(Text(mark, style), Text(finding.subject, "bold"), Text(finding.fact))
        if finding.advice:
            table.add_row("", "", Text("→ " + finding.advice, style))
    out.print(table)
    if any(finding.verdict == "wrong" for finding in findings):
        sys.exit(1)
