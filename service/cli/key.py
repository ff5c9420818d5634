"""`magpie key create|list|revoke`: who may ask the service."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from service.access.key_file import SETTING, KeyFile, changing
from service.access.keys import new_key
from service.access.rate import Rate
from service.access.scopes import Scope
from service.cli.console import err, out
from service.errors import InvalidSettings, NotFound
from service.settings import Settings

key = typer.Typer(help="API keys: who may ask the service, and how often.", no_args_is_help=True)


@key.command()
def create(
    name: Annotated[str, typer.Option(help="Who will use it, such as shop-front.")],
    scope: Annotated[Scope, typer.Option(help="read; write: also items; admin: all.")] = "read",
    rate: Annotated[
        str | None, typer.Option(help="Most requests, such as 100/s or 6000/m; no limit without.")
    ] = None,
) -> None:
    """Make a key and print it: on standard output, once, and nowhere else."""
    path = _path()
    parsed = None if rate is None else Rate.parse(rate)
    with changing(path):
        file = KeyFile.read(path) if path.exists() else KeyFile.new()
        made, secret = new_key(name, scope, parsed, pepper=file.pepper, now=datetime.now(UTC))
        file.with_key(made).write(path)
    err.print(f"Key {made.id} of {name}, scope {scope}. It is shown once; keep it now:")
    out.print(secret, markup=False)


@key.command("list")
def list_keys() -> None:
    """Show the keys that are valid; their secrets are not known here."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    for title in ("id", "name", "scope", "rate", "made"):
        table.add_column(title, style="bold" if title == "id" else "")
    for each in KeyFile.read(_existing()).keys:
        made_at = each.created_at.strftime("%Y-%m-%d %H:%M")
        rate = "no limit" if each.rate is None else str(each.rate)
        table.add_row(*map(Text, (each.id, each.name, each.scope, rate, made_at)))
    out.print(table)


@key.command()
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="ID|NAME", help="A key, or all of a name.")],
) -> None:
    """Remove a key; every running process refuses it within a few seconds."""
    path = _existing()
    with changing(path):
        file = KeyFile.read(path)
        kept = file.without(key_id)
        if len(kept.keys) == len(file.keys):
            raise NotFound("There is no such key.", "`magpie key list` shows them.")
        kept.write(path)
    count = len(file.keys) - len(kept.keys)
    out.print(f"{count} {'key' if count == 1 else 'keys'} revoked, {len(kept.keys)} left.")


def _path() -> Path:
    path = Settings.from_environment().keys_file
    if path is None:
        raise InvalidSettings(f"{SETTING} is not set.", f"export {SETTING}=keys.json")
    return path


def _existing() -> Path:
    path = _path()
    if not path.exists():
        raise InvalidSettings(f"{SETTING}: there is no {path}.", "`magpie key create` makes it.")
    return path
