"""`magpie model quantize` and `check`: a smaller export, and whether an export is faithful."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from service.cli.columns import columns_of
from service.cli.console import err, out, stages
from service.cli.model import ModelId, model
from service.encoders.exports import ExportManifest, exports_folder, find_export
from service.encoders.registry import Registry
from service.errors import InvalidSettings, ModelNotFound
from service.settings import Settings

if TYPE_CHECKING:
    from service.pipelines.check_report import CheckReport
    from service.pipelines.check_sample import Sample

__all__ = ["model"]

_STYLES = {"passed": "green", "failed": "bold red", "unproven": "yellow"}


Catalogue = Annotated[Path | None, typer.Option(help="Your own items: JSONL, CSV, TSV or Parquet.")]
IdColumn = Annotated[str, typer.Option("--id", help="Column that holds the id.")]
TextColumns = Annotated[
    list[str] | None,
    typer.Option(help='Columns to embed, or one template such as "{title}. {genres}".'),
]
Split = Annotated[
    list[str] | None, typer.Option(help="COLUMN=SEPARATOR for lists, e.g. 'genres=|'.")
]


@model.command()
def quantize(
    model_id: ModelId,
    catalogue: Catalogue = None,
    id_column: IdColumn = "id",
    text: TextColumns = None,
    split: Split = None,
    texts: Annotated[int, typer.Option(min=2, help="How many texts of the catalogue.")] = 1000,
    make_current: Annotated[
        bool, typer.Option("--make-current", help="Let the model's id stand for it from now on.")
    ] = False,
) -> None:
    """Make an int8 export of an exported model: smaller, faster, accepted only if faithful.

    Give your own catalogue: its texts choose the steps, and the gates are measured on them.
    """
    from service.pipelines.quantize_model import quantize as quantize_model

    settings = Settings.from_environment()
    record = Registry.load(settings.models_dir / "registry.toml").get(model_id)
    sample = _sample(catalogue, id_column, text, split, texts, None)
    with err.status(f"quantising {model_id}: choose the steps, then compare with float32"):
        folder = quantize_model(
            record,
            settings.models_dir,
            now=datetime.now(UTC),
            texts=sample.texts,
            make_current=make_current,
        )
    manifest = ExportManifest.read(folder)
    size = sum(file.size_bytes for file in manifest.files.values()) / 1e6
    out.print(f"{model_id} in int8 is in {folder}, {size:.1f} MB: {manifest.recipe}.")
    out.print(
        f"Cosine to float32 on {manifest.parity.texts} texts: mean "
        f"{manifest.parity.mean_cosine:.4f}, smallest {manifest.parity.min_cosine:.4f}. "
        f"Next: magpie model check {model_id} --export {folder.name}"
    )


@model.command()
def check(
    model_id: ModelId,
    export: Annotated[
        str | None, typer.Option(help="Digest of one export; the current one when absent.")
    ] = None,
    catalogue: Catalogue = None,
    id_column: IdColumn = "id",
    text: TextColumns = None,
    split: Split = None,
    texts: Annotated[int, typer.Option(min=2, help="How many texts of the catalogue.")] = 1000,
    queries: Annotated[
        Path | None, typer.Option(help='Labels: JSONL of {"query": "…", "relevant": ["id"]}.')
    ] = None,
    threads: Annotated[int, typer.Option(min=2, help="Compared with one thread.")] = 2,
    reference: Annotated[
        bool, typer.Option(help="Compare with torch, where it is installed.")
    ] = True,
    lock_golden: Annotated[
        bool, typer.Option("--lock-golden", help="First lock the golden vectors, once.")
    ] = False,
) -> None:
    """Compare an export with the reference and the golden vectors; exit 1 if a gate fails.

    The report lands in models/ID/reports: as JSON, which decides whether indexes may be built
    with that export, and as a page to read.
    """
    from service.pipelines import check_model
    from service.pipelines.check_report import report_path, require_checked

    settings = Settings.from_environment()
    record = Registry.load(settings.models_dir / "registry.toml").get(model_id)
    folder = _export_folder(settings.models_dir, model_id, export)
    sample = _sample(catalogue, id_column, text, split, texts, queries)
    with stages() as progress:
        if lock_golden:
            path = check_model.lock_golden(record, folder, now=datetime.now(UTC))
            err.print(f"Locked the golden vectors in {path}; put that file into git.")
        report = check_model.check(
            record,
            folder,
            sample,
            now=datetime.now(UTC),
            threads=threads,
            with_reference=reference,
            progress=progress,
        )
    _show(report, sample)
    out.print(f"Report: {report_path(folder).with_suffix('.html')}")
    require_checked(folder)


def _sample(
    catalogue: Path | None,
    id_column: str,
    text: list[str] | None,
    split: list[str] | None,
    texts: int,
    queries: Path | None,
) -> "Sample":
    from service.pipelines.check_sample import house_sample, own_sample
    from service.pipelines.quickstart import SAMPLE, SAMPLE_COLUMNS

    if catalogue is not None:
        columns = columns_of(id_column, text, split)
        return own_sample(catalogue, columns, limit=texts, queries=queries)
    if queries is not None:
        raise InvalidSettings("--queries needs --catalogue: their ids are of its items.")
    return house_sample(SAMPLE, SAMPLE_COLUMNS)


def _export_folder(models: Path, model_id: str, digest: str | None) -> Path:
    if digest is None:
        return find_export(models, model_id)
    folders = [
        path
        for path in sorted(exports_folder(models, model_id).glob("*"))
        if path.is_dir() and (path.name.startswith(digest) or digest.startswith(path.name))
    ]
    if len(folders) != 1:
        raise ModelNotFound(
            f"{len(folders)} exports of {model_id} have a digest that begins with {digest!r}."
        )
    return folders[0]


def _show(report: "CheckReport", sample: "Sample") -> None:
    table = Table(title=f"{report.model.id} in {report.precision}", caption=sample.source)
    table.add_column("what")
    for heading in ("measured", "asked", ""):
        table.add_column(heading, justify="right")
    for gate in report.gates:
        word = "passed" if gate.passed else "failed"
        table.add_row(
            gate.name,
            f"{gate.measured:.6f}",
            f"{gate.direction} {gate.asked:g}",
            Text(word, _STYLES[word]),
        )
    out.print(table)
    for comparison in report.comparisons:
        if comparison.overlap_at_10 is not None:
            cosine = comparison.cosine
            out.print(
                f"{comparison.left} ↔ {comparison.right}: cosine mean {cosine.mean:.6f}, "
                f"1 % below {cosine.p1:.6f}, smallest {cosine.min:.6f}; "
                f"overlap@10 {comparison.overlap_at_10:.4f} over {comparison.texts:,} texts, "
                f"similarity lost {comparison.similarity_loss or 0.0:.3%}"
            )
    for loss in report.ranking:
        out.print(
            f"{loss.left} ↔ {loss.right}: NDCG@10 {loss.ndcg_left:.4f} to {loss.ndcg_right:.4f}, "
            f"loss {loss.loss:.2%} ({loss.loss_low:.2%} to {loss.loss_high:.2%}) "
            f"over {loss.queries:,} queries"
        )
    for note in report.notes:
        out.print(f"note: {note}", markup=False)
    out.print(Text(report.verdict, _STYLES[report.verdict]))
