"""`magpie model verify|lock|diff|sbom|pack|unpack`: where a model comes from, and proof of it."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from service.artifacts import write_atomic
from service.cli.console import err, out
from service.cli.model import ModelId
from service.encoders.registry import ModelRecord, Registry
from service.errors import ModelNotFound
from service.settings import Settings

trust = typer.Typer()


@trust.command()
def verify(
    model_id: ModelId,
    require_redteam: Annotated[
        bool, typer.Option("--require-redteam", help="Also ask for a valid red-team report.")
    ] = False,
) -> None:
    """Compare every file of a model with what was pinned, without a network.

    Exit codes: 0 all is well, 2 a hash, 3 an extra file, 4 a format, 5 the licence, 7 the
    red-team report; the smallest, if there are several. 1 where nothing is here.
    """
    from service.pipelines.model_verify import examine, verdict_of

    settings = Settings.from_environment()
    record = _record(settings, model_id)
    findings = examine(
        record, settings.models_dir, now=datetime.now(UTC), require_red_team=require_redteam
    )
    for finding in findings:
        err.print(Text(f"{finding.file}: {finding.reason}"))
    if findings:
        raise typer.Exit(int(verdict_of(findings)))
    out.print(f"{model_id}: every file is the pinned one.")


@trust.command("lock")
def lock_model(model_id: ModelId) -> None:
    """Verify a pulled model and bring its lock up to date: exports, reports, licence."""
    from service.pipelines.model_lock import LOCK
    from service.pipelines.model_provenance import refresh_lock
    from service.pipelines.pull_model import alone, verify_upstream

    settings = Settings.from_environment()
    record = _record(settings, model_id)
    folder = settings.models_dir / model_id
    if not folder.is_dir():
        raise ModelNotFound(f"{model_id!r} has not been pulled.", f"magpie model pull {model_id}")
    with alone(model_id, folder):
        lock = verify_upstream(record, settings.models_dir)
        lock = refresh_lock(record, settings.models_dir, lock)
    made = len(lock.provenance.conversions)
    out.print(
        f"{folder / LOCK}: {len(lock.files)} files, digest {lock.digest[:12]}, {made} exports."
    )


@trust.command()
def diff(
    left: Annotated[str, typer.Argument(help="Model id, or the path of a lock.json.")],
    right: Annotated[
        str | None, typer.Argument(help="The other one; the files that are here when absent.")
    ] = None,
) -> None:
    """Show in what two locks differ, or a lock and the files that are here; exit 1 if they do."""
    from service.pipelines.model_diff import diff_locks, find_lock, lock_of_disk

    models = Settings.from_environment().models_dir
    one = find_lock(models, left)
    other = find_lock(models, right) if right else lock_of_disk(models, one.id, one)
    differences = diff_locks(one, other)
    if not differences:
        out.print("no difference")
        return
    table = Table()
    for heading in ("what", left, right or "on disk"):
        table.add_column(Text(heading), overflow="fold")
    for each in differences:
        table.add_row(Text(each.where), Text(each.left), Text(each.right))
    out.print(table)
    raise typer.Exit(1)


@trust.command()
def sbom(
    model_id: ModelId,
    output: Annotated[
        Path | None, typer.Option(help="A file; standard output when absent.")
    ] = None,
) -> None:
    """Write a CycloneDX bill of materials of a locked model, validated against its schema."""
    from service.pipelines.model_diff import find_lock
    from service.pipelines.model_provenance import with_provenance
    from service.pipelines.model_sbom import write_sbom

    settings = Settings.from_environment()
    record = _record(settings, model_id)
    models = settings.models_dir
    lock = with_provenance(find_lock(models, model_id), record, models / model_id)
    document = write_sbom(lock, now=datetime.now(UTC).replace(microsecond=0))
    if output is None:
        typer.echo(document.decode(), nl=False)
    else:
        write_atomic(output, document)
        out.print(f"{output}: {len(document)} bytes, CycloneDX 1.6.")


@trust.command()
def pack(
    model_id: ModelId,
    output: Annotated[Path | None, typer.Option(help="Default: ID.magpie in this folder.")] = None,
    all_exports: Annotated[
        bool, typer.Option("--all", help="Every export, not only the one in use.")
    ] = False,
) -> None:
    """Put a model with lock, record and licence into one file, for a machine without network."""
    from service.pipelines.model_pack import pack as pack_model

    settings = Settings.from_environment()
    target = output or Path(f"{model_id}.magpie")
    with err.status(f"packing {model_id}"):
        digest = pack_model(
            _record(settings, model_id), settings.models_dir, target, all_exports=all_exports
        )
    out.print(f"{target}: {target.stat().st_size} bytes, sha256 {digest}")
    out.print("Carry that sha256 by another way, and there: magpie model unpack FILE --sha256 …")


@trust.command()
def unpack(
    file: Annotated[Path, typer.Argument(help="What `magpie model pack` wrote.")],
    sha256: Annotated[
        str | None, typer.Option(help="Of the file, as `pack` printed it; strongly advised.")
    ] = None,
) -> None:
    """Take a model out of a pack; every file is checked before any of it is kept."""
    from service.pipelines.model_unpack import peek
    from service.pipelines.model_unpack import unpack as unpack_model

    settings = Settings.from_environment()
    model_id = peek(file).id
    registry = settings.models_dir / "registry.toml"
    record = Registry.load(registry).records.get(model_id) if registry.is_file() else None
    unpack_model(file, settings.models_dir, record=record, sha256=sha256)
    out.print(f"{model_id} is in {settings.models_dir / model_id}, every file verified.")
    if record is None:
        out.print("The registry here does not know it; record.json beside it holds its record.")


def _record(settings: Settings, model_id: str) -> ModelRecord:
    return Registry.load(settings.models_dir / "registry.toml").get(model_id)
