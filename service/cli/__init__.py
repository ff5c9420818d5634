"""The `magpie` command: verbs at a terminal, one call each."""

from service.cli.main import main

__all__ = ["main"]
