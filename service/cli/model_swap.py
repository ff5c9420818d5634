"""`magpie model swap`: another model for a catalogue, compared first, switched without a pause."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from service.cli.console import out, stages
from service.cli.model import ModelId
from service.index import publish as publication
from service.settings import Settings

if TYPE_CHECKING:
    from service.pipelines.swap_comparison import Difference, Side


def swap(
    model_id: ModelId,
    catalogue: Annotated[str | None, typer.Option(help="Which one; MAGPIE_CATALOGUE.")] = None,
    queries: Annotated[
        Path | None,
        typer.Option(
            help='Search texts: JSONL {"query": "...", "relevant": ["id"]}, or one a line.'
        ),
    ] = None,
    switch: Annotated[bool, typer.Option("--switch", help="Publish the new version too.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Switch even if gates fail; the journal says so.")
    ] = False,
    threads: Annotated[int, typer.Option(min=1, help="Cores for encoding.")] = 1,
    seed: Annotated[int, typer.Option(help="Same seed, same index.")] = 0,
) -> None:
    """Build a second index of the published items with another model, and compare the two.

    A running service goes on with the old one until the new one is published. With labelled
    queries, a model that is surely worse is not switched to; exit code 4, as of `index publish`.
    """
    from service.pipelines.query_file import read_queries
    from service.pipelines.swap_comparison import quality_gates
    from service.pipelines.swap_model import prepare_swap

    settings = Settings.from_environment()
    name = catalogue or settings.catalogue
    sample = read_queries(queries) if queries is not None else ()
    with stages() as progress:
        report = prepare_swap(
            name,
            model_id,
            models=settings.models_dir,
            indexes=settings.indexes_dir,
            now=datetime.now(UTC),
            queries=sample,
            threads=threads,
            seed=seed,
            progress=progress,
        )
    version = report.difference.new.version
    _print(name, report.difference)
    out.print(f"The same as JSON: {report.report_path}")
    if not switch:
        out.print(f"Nothing is switched yet. Serve it: magpie index publish {name} {version}")
        return
    done = publication.publish(
        settings.indexes_dir,
        name,
        version,
        now=datetime.now(UTC),
        force=force,
        more_gates=quality_gates(report.difference),
    )
    out.print(f"Switched {name} from {done.before} to {done.after}")
    out.print(f"Back again: magpie index rollback {name}")


def _print(name: str, difference: "Difference") -> None:
    table = Table(
        "", "served now", "new", title=f"{name}: {difference.old.model} → {difference.new.model}"
    )
    for heading, show in _ROWS:
        table.add_row(heading, show(difference.old), show(difference.new))
    out.print(table)
    out.print(
        f"Of the 10 nearest, both name the same {difference.overlap_of_items:.0%} "
        f"({difference.items_compared} items)"
        + (
            ""
            if difference.overlap_of_queries is None
            else f" and {difference.overlap_of_queries:.0%} ({difference.queries_compared} queries)"
        )
    )
    if difference.quality is not None:
        quality = difference.quality
        out.print(
            f"NDCG@10 changes by {quality.change:+.3f}, 95 % interval {quality.change_low:+.3f} "
            f"to {quality.change_high:+.3f} ({quality.queries} labelled queries)"
        )


def _megabytes(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:,.1f} MB"


_ROWS: tuple[tuple[str, "Callable[[Side], str]"], ...] = (
    ("model", lambda side: side.model + (" (stand-in)" if side.stand_in else "")),
    ("version", lambda side: side.version),
    ("dim", lambda side: str(side.dim)),
    ("index", lambda side: f"{side.factory}, recall@10 {side.recall_at_10:.3f}"),
    ("index on disk", lambda side: _megabytes(side.index_bytes)),
    ("model on disk", lambda side: _megabytes(side.model_bytes)),
    ("encodes", lambda side: f"{side.texts_per_second:,.0f} texts/s"),
    ("one query", lambda side: f"{side.query_ms:.2f} ms"),
    ("NDCG@10", lambda side: "-" if side.ndcg_at_10 is None else f"{side.ndcg_at_10:.3f}"),
)
