"""`magpie model …`: which models there are, fetch one, export it."""

from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.table import Table

from service.cli.console import err, out, progress
from service.encoders.exports import ExportManifest, find_export
from service.encoders.registry import ModelRecord, Registry
from service.errors import MagpieError
from service.pipelines.model_lock import UPSTREAM
from service.settings import Settings

model = typer.Typer(help="Fetch, export and list models.", no_args_is_help=True)

ModelId = Annotated[
    str, typer.Argument(help="Id in models/registry.toml, see `magpie model list`.")
]


@model.command("list")
def list_models() -> None:
    """Show every model of the registry and what is here of it."""
    settings = Settings.from_environment()
    registry = Registry.load(settings.models_dir / "registry.toml")
    table = Table(
        title="Models", caption="Fetch one: magpie model pull ID; then: magpie model export ID"
    )
    for heading in ("id", "publisher", "licence", "languages", "dim", "tokens", "here"):
        table.add_column(heading, overflow="fold", no_wrap=heading == "id")
    for record in registry.records.values():
        table.add_row(
            record.id + (" *" if record.id == registry.default else ""),
            record.publisher.partition(" (")[0],
            record.licence,
            ", ".join(record.languages),
            str(record.dim),
            str(record.max_tokens),
            _what_is_here(record, settings),
        )
    out.print(table)


@model.command()
def pull(model_id: ModelId) -> None:
    """Download a model at its pinned revision, check every file, refuse code and pickles.

    HF_ENDPOINT names a mirror of the hub. A second pull verifies and downloads nothing.
    """
    from service.pipelines.pull_model import pull as pull_model

    settings = Settings.from_environment()
    record = Registry.load(settings.models_dir / "registry.toml").get(model_id)
    with progress(f"pull {model_id}", as_bytes=True) as report:
        folder = pull_model(
            record,
            settings.models_dir,
            endpoint=settings.hf_endpoint,
            now=datetime.now(UTC),
            progress=report,
        )
    out.print(f"{model_id} is in {folder}, every file verified.")


@model.command()
def export(model_id: ModelId) -> None:
    """Turn a pulled model into one ONNX graph, accepted only if it gives the same vectors."""
    from service.pipelines.export_model import export as export_model

    settings = Settings.from_environment()
    record = Registry.load(settings.models_dir / "registry.toml").get(model_id)
    with err.status(f"exporting {model_id}: convert, then compare with the reference"):
        folder = export_model(record, settings.models_dir, now=datetime.now(UTC))
    manifest = ExportManifest.read(folder)
    out.print(
        f"{model_id} is exported to {folder}: cosine to the reference at least "
        f"{manifest.parity.min_cosine:.6f} on {manifest.parity.texts} texts."
    )


def _what_is_here(record: ModelRecord, settings: Settings) -> str:
    try:
        return "exported " + find_export(settings.models_dir, record.id).name
    except MagpieError:
        pulled = (settings.models_dir / record.id / UPSTREAM).is_dir()
        return "pulled" if pulled else "-"
