"""`magpie index build`: from a catalogue to a new version."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import orjson
import typer

from service.cli.columns import columns_of
from service.cli.console import out, stages
from service.cli.index import publish
from service.cli.sources import FormatOption, Places, QueryOption, SqlOption, source_of
from service.errors import InvalidSettings
from service.settings import Settings

if TYPE_CHECKING:
    from service.index.tuning import Wish
    from service.pipelines.build_index import BuildReport
    from service.pipelines.external_vectors import ExternalVectors


def build(
    name: Annotated[str, typer.Option(help="Name of the catalogue: a-z, 0-9 and hyphens.")],
    source: Places = None,
    id_column: Annotated[str, typer.Option("--id", help="Column that holds the id.")] = "id",
    text: Annotated[
        list[str] | None,
        typer.Option(help='Columns to embed, or one template such as "{title}. {genres}".'),
    ] = None,
    split: Annotated[
        list[str] | None, typer.Option(help="COLUMN=SEPARATOR for lists, e.g. 'genres=|'.")
    ] = None,
    file_format: FormatOption = None,
    sql: SqlOption = None,
    query: QueryOption = None,
    model: Annotated[str | None, typer.Option(help="Model id; MAGPIE_MODEL.")] = None,
    vectors: Annotated[
        Path | None,
        typer.Option(
            help="Your own vectors instead of a model: .npy, float32 or float16 (n, dim)."
        ),
    ] = None,
    vector_ids: Annotated[
        Path | None,
        typer.Option(help="Id of each vector, one a line or .npy; else in order of the rows."),
    ] = None,
    vector_model: Annotated[
        str | None, typer.Option(help="What made these vectors, e.g. two-tower-2026-11.")
    ] = None,
    unit_vectors: Annotated[
        bool, typer.Option("--unit-vectors", help="Scale your vectors to length 1: cosine scores.")
    ] = False,
    threads: Annotated[int, typer.Option(min=1, help="Cores for encoding.")] = 1,
    max_rejects: Annotated[
        float, typer.Option(min=0, max=1, help="Share of bad rows that is put up with.")
    ] = 0.01,
    seed: Annotated[int, typer.Option(help="Same seed, same index.")] = 0,
    tune: Annotated[
        bool,
        typer.Option(
            "--tune",
            help="Try many kinds of index; the cheapest that passes is kept, by rebuilds too.",
        ),
    ] = False,
    recall: Annotated[
        float | None, typer.Option(help="Share of true neighbours to find, e.g. 0.99; tunes.")
    ] = None,
    memory_budget: Annotated[
        int | None, typer.Option(min=1, help="MB for index and vectors together; tunes.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Also with a model that failed its check.")
    ] = False,
    publish_it: Annotated[bool, typer.Option("--publish", help="Publish it as well.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Read a catalogue, encode what is new, build and measure an index; not yet served.

    All other columns become attributes to filter by and to return. Stopped at any moment, it goes
    on where it was when it is called again.
    """
    from service.pipelines.build_index import build as build_index

    settings = Settings.from_environment()
    external = _external(vectors, vector_ids, vector_model, unit_vectors=unit_vectors)
    with (
        stages() as progress,
        source_of(source, file_format, sql, query, progress) as opened,
    ):
        report = build_index(
            opened,
            columns_of(id_column, text, split),
            name=name,
            models=settings.models_dir,
            indexes=settings.indexes_dir,
            model_id=model or settings.model,
            threads=threads,
            max_reject_share=max_rejects,
            seed=seed,
            external=external,
            force=force,
            wish=_wish(recall, memory_budget, tune=tune),
            now=datetime.now(UTC),
            progress=progress,
        )
    if as_json:
        out.print_json(orjson.dumps(report.content()).decode())
    else:
        _print_report(report)
    if publish_it:
        publish(name, report.version)
    elif not as_json:
        out.print(f"Serve it: magpie index publish {name} && magpie serve {name}")


def _wish(recall: float | None, memory_budget: int | None, *, tune: bool) -> "Wish | None":
    from service.index.tuning import Wish

    if not tune and recall is None and memory_budget is None:
        return None
    limit = None if memory_budget is None else memory_budget * 1_000_000
    return Wish(0.95 if recall is None else recall, limit)


def _external(
    vectors: Path | None, ids: Path | None, model: str | None, *, unit_vectors: bool
) -> "ExternalVectors | None":
    from service.pipelines.external_vectors import ExternalVectors

    if vectors is None:
        if ids or model or unit_vectors:
            raise InvalidSettings(
                "--vector-ids, --vector-model and --unit-vectors go with --vectors."
            )
        return None
    if not model:
        raise InvalidSettings(
            "The vectors need the name of what made them.",
            "Add --vector-model NAME; whoever changes the model changes the name.",
        )
    return ExternalVectors(vectors, model, ids_path=ids, is_scaled=unit_vectors)


def _print_report(report: "BuildReport") -> None:
    out.print(f"Built {report.catalogue}@{report.version} with {report.model}")
    out.print(
        f"  {report.items:,} items, {report.rejects:,} rows left out"
        + (f" (see {report.rejects_path})" if report.rejects_path else "")
    )
    if report.withheld:
        named = ", ".join(map(repr, report.withheld_first))
        more = "…" if report.withheld > len(report.withheld_first) else ""
        out.print(
            f"  {report.withheld:,} of the source left out, deleted here before: {named}{more}",
            markup=False,
        )
    made = report.embedded
    if made.distinct:
        repeated = report.items - made.distinct
        out.print(
            f"  {made.encoded:,} texts encoded, {made.reused:,} reused, {repeated:,} repeated"
            + (f", {made.dropped_segments} damaged files replaced" if made.dropped_segments else "")
        )
    out.print(f"  {report.factory}, recall@10 {report.recall_at_10:.3f} against exact search")
    seconds = ", ".join(f"{stage} {spent:.1f} s" for stage, spent in report.seconds.items())
    rate = f"; {report.texts_per_second:.0f} texts/s" if made.encoded else ""
    out.print(f"  {seconds}{rate}; {report.total_bytes / 1e6:.1f} MB")
