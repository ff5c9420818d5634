"""The verbs, and where each one's work is done."""

import logging
import os

import typer

from service import __version__
from service.cli.ask import recommend
from service.cli.build import build
from service.cli.catalogue import catalogue
from service.cli.check import doctor
from service.cli.console import failures_told, logs_to_stderr, out
from service.cli.index_look import index
from service.cli.key import key
from service.cli.model_quality import model
from service.cli.model_swap import swap
from service.cli.model_trust import trust
from service.cli.serve import quickstart, serve

app = typer.Typer(
    name="magpie",
    help="Recommendations from open Chinese embedding models, on your own machine.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
model.command()(swap)
model.add_typer(trust)
app.add_typer(model, name="model")
index.command()(build)
app.add_typer(catalogue, name="catalogue")
app.add_typer(key, name="key")
app.add_typer(index, name="index")
app.command()(quickstart)
app.command()(serve)
app.command()(recommend)
app.command()(doctor)


@app.callback()
def options(verbose: bool = typer.Option(False, "--verbose", "-v", help="Log more.")) -> None:
    """Recommendations from open Chinese embedding models, on your own machine."""
    logs_to_stderr(logging.DEBUG if verbose else logging.INFO)


@app.command()
def version() -> None:
    """Print the version."""
    out.print(__version__)


def main() -> None:
    """Run the command line; a named failure is told in two lines and has its own exit code."""
    # What we write is read by us and our group: vectors tell of the texts they were made of.
    os.umask(os.umask(0o027) | 0o027)
    with failures_told():
        app()
