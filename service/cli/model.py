"""`magpie model …`: which models there are, fetch one, export it."""

from dataclasses import asdict
from datetime import UTC, datetime
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import orjson
import typer
from rich import box
from rich.console import Console
from rich.table import Table

from service.cli.console import err, out, progress
from service.encoders.exports import ExportManifest
from service.encoders.registry import Registry
from service.settings import Settings

if TYPE_CHECKING:
    from service.pipelines.model_intake import Weights
    from service.pipelines.model_overview import Overview
    from service.pipelines.pull_model import Origin

model = typer.Typer(
    help="Fetch, export, check and compare models, and prove where they come from.",
    no_args_is_help=True,
)

ModelId = Annotated[
    str, typer.Argument(help="Id in models/registry.toml, see `magpie model list`.")
]

_CAPTION = """\
* default  ≈ from the number of parameters  † published as pickle only, which is refused
pinned: files whose sha256 is known, and A public hashes, B public revision, C unconfirmed
Fetch one: magpie model pull ID, then: magpie model export ID. All facts: --json"""
_HEADINGS = ("id", "from", "MB", "for", "licence", "dim", "tokens", "texts/s", "pinned", "here")
_WIDTH = 118
_RIGHT = ("MB", "dim", "tokens", "texts/s")


@model.command("list")
def list_models(
    as_json: Annotated[bool, typer.Option("--json", help="Everything, for programs.")] = False,
) -> None:
    """Show every model of the registry, what there is to choose by, and what is here of it."""
    from service.pipelines.model_overview import overview

    settings = Settings.from_environment()
    registry = Registry.load(settings.models_dir / "registry.toml")
    models = overview(registry, settings.models_dir)
    if as_json:
        typer.echo(orjson.dumps([asdict(each) for each in models], option=orjson.OPT_INDENT_2))
        return
    table = Table(
        box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), caption=_CAPTION, caption_justify="left"
    )
    for heading in _HEADINGS:
        justify: Literal["left", "right"] = "right" if heading in _RIGHT else "left"
        table.add_column(heading, no_wrap=True, justify=justify)
    for each in models:
        table.add_row(*_row(each))
    # Narrower, the columns would be cut to nothing; a terminal wraps long lines by itself.
    Console(width=max(out.width, _WIDTH), highlight=False).print(table)


@model.command()
def pull(
    model_id: ModelId,
    origin: Annotated[
        str, typer.Option("--from", help="hub, modelscope, or a folder on this machine.")
    ] = "hub",
    onnx: Annotated[
        bool, typer.Option("--onnx", help="The publisher's own graph instead of the weights.")
    ] = False,
    endpoint: Annotated[
        str | None, typer.Option(help="Address of a mirror; for the hub also HF_ENDPOINT.")
    ] = None,
    cdn: Annotated[
        list[str] | None, typer.Option(help="A further host a mirror sends large files from.")
    ] = None,
) -> None:
    """Fetch a model at its pinned revision, check every file, refuse code and pickles.

    An interrupted pull goes on where it stopped. A second pull verifies and downloads nothing.
    """
    from service.pipelines.pull_model import pull as pull_model

    settings = Settings.from_environment()
    record = Registry.load(settings.models_dir / "registry.toml").get(model_id)
    weights: Weights = "onnx" if onnx else "safetensors"
    hub = settings.hf_endpoint if origin == "hub" else None
    with progress(f"pull {model_id}", as_bytes=True) as report:
        folder = pull_model(
            record,
            settings.models_dir,
            endpoint=endpoint or hub,
            now=datetime.now(UTC),
            progress=report,
            origin=_origin(origin),
            weights=weights,
            hosts=cdn or (),
        )
    out.print(f"{model_id} is in {folder}, every file verified.")


@model.command()
def export(
    model_id: ModelId,
    dim: Annotated[
        int | None, typer.Option(help="Keep only so many numbers of a vector, where it may be cut.")
    ] = None,
) -> None:
    """Turn a pulled model into one ONNX graph, accepted only if it gives the same vectors."""
    from service.pipelines.export_model import export as export_model

    settings = Settings.from_environment()
    record = Registry.load(settings.models_dir / "registry.toml").get(model_id)
    with err.status(f"exporting {model_id}: convert, then compare with the reference"):
        folder = export_model(record, settings.models_dir, now=datetime.now(UTC), dim=dim)
    manifest = ExportManifest.read(folder)
    parity = manifest.parity
    proof = f"cosine to the reference at least {parity.min_cosine:.6f} on {parity.texts} texts."
    if not parity.texts:
        proof = "the publisher's graph, self-consistent; no reference is here to compare it with."
    out.print(f"{model_id} is exported to {folder}: {proof}")


def _origin(word: str) -> "Origin":
    if word == "hub":
        return "hub"
    return "modelscope" if word == "modelscope" else Path(word)


def _row(each: "Overview") -> tuple[str, ...]:
    fastest = max(each.texts_per_s.items(), key=itemgetter(1), default=None)
    return (
        each.id + (" *" if each.is_default else ""),
        each.publisher.split(" ")[0].partition("-")[0],
        _size(each) + ("" if each.is_obtainable else " †"),
        " ".join(each.languages),
        each.licence + (" (refused)" if each.licence_verdict == "refused" else ""),
        f"{each.dims[0]}–{each.dim}" if each.dims else str(each.dim),
        str(each.max_tokens),
        "-" if fastest is None else f"{fastest[1]:,.0f} {fastest[0]}",
        f"{each.pinned_files} {each.evidence}",
        each.here.partition(" ")[0],
    )


def _size(each: "Overview") -> str:
    if each.weights_bytes is None:
        return "-"
    return f"{'' if each.is_size_pinned else '≈'}{each.weights_bytes / 1e6:,.0f}"
