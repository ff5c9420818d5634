"""From a fresh clone to a published sample index; what is there already is left as it is."""

from collections.abc import Callable
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path

from service.artifacts import sha256_file
from service.catalogue.column_map import ColumnMap
from service.catalogue.text import TextTemplate
from service.encoders.exports import ExportManifest, find_export
from service.encoders.registry import ModelRecord, Registry
from service.errors import CorruptArtifact, HubUnavailable, ModelNotFound, VersionNotFound
from service.index.publish import current_version, publish, verify
from service.pipelines.build_index import build
from service.settings import Settings
from service.types import ModelIdentity

SAMPLE = Path("examples/pins/pins.jsonl")
# Chosen among thirty by how often the words of a search, a pin's board and what people saved with
# it come back. The category stands at both ends for the Chinese pins, which the stand-in cannot
# read. Descriptions blur what a pin is about: with them a tenth fewer searched pins were found.
SAMPLE_COLUMNS = ColumnMap(
    id="id", text=TextTemplate("{category}, {board}: {tags}. {title}. {category}")
)
_CATALOGUE = "pins"

Report = Callable[[str, int, int | None], None]
"""Called with the name of a stage, what is done, and what there is in all (None: unknown)."""


def prepare(
    settings: Settings,
    report: Report,
    sample: Path = SAMPLE,
    *,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> list[str]:
    """Make sure that a model is exported and the sample index built and published.

    Args:
        settings: folders and the model wanted.
        report: is told how far each stage is.
        sample: the sample catalogue.
        now: the time that goes into locks, manifests and journals.

    Returns:
        What a person has to know, in plain sentences: above all, that a stand-in answers.

    Raises:
        MagpieError: a step failed; nothing half-done is left.
    """
    registry = Registry.load(settings.models_dir / "registry.toml")
    notices: list[str] = []
    identity = _ready_model(settings, registry, report, notices, now)
    if not _is_current(settings, identity, sample):
        version = build(
            sample,
            SAMPLE_COLUMNS,
            name=_CATALOGUE,
            models=settings.models_dir,
            indexes=settings.indexes_dir,
            model_id=identity.id,
            threads=settings.encoder_threads,
            now=now(),
            progress=report,
        ).version
        publish(settings.indexes_dir, _CATALOGUE, version, now=now())
    return notices


def _ready_model(
    settings: Settings,
    registry: Registry,
    report: Report,
    notices: list[str],
    now: Callable[[], datetime],
) -> ModelIdentity:
    wanted = registry.get(settings.model)
    stand_in = registry.get(registry.fallback)
    for record in (wanted, stand_in):
        found = _exported(record, settings)
        if found is not None:
            if record.stand_in and record is not wanted:
                notices.append(_stand_in_notice(wanted, stand_in))
            return found
    try:
        return _pull_and_export(wanted, settings, report, now)
    except HubUnavailable as error:
        notices.append(f"{error.message} {_stand_in_notice(wanted, stand_in)}")
    return _pull_and_export(stand_in, settings, report, now)


def _exported(record: ModelRecord, settings: Settings) -> ModelIdentity | None:
    try:
        return ExportManifest.read(find_export(settings.models_dir, record.id)).model
    except ModelNotFound:
        return None


def _pull_and_export(
    record: ModelRecord, settings: Settings, report: Report, now: Callable[[], datetime]
) -> ModelIdentity:
    # Their imports take seconds, which a start that finds everything in place should not.
    from service.pipelines.export_model import export
    from service.pipelines.pull_model import pull

    def report_bytes(done: int, total: int) -> None:
        report(f"pull {record.id}", done, total)

    pull(
        record,
        settings.models_dir,
        endpoint=settings.hf_endpoint,
        now=now(),
        progress=report_bytes,
        weights="onnx" if _takes_shipped_graph(record) else "safetensors",
    )
    stage = f"export {record.id}"
    report(stage, 0, None)
    folder = export(record, settings.models_dir, now=now())
    report(stage, 1, 1)
    return ExportManifest.read(folder).model


def _takes_shipped_graph(record: ModelRecord) -> bool:
    """Whether to take the publisher's graph, which needs no torch: it is pinned, or all we can."""
    from service.pipelines.model_intake import SHIPPED_GRAPH

    is_shipped = "onnx" in record.weights
    return SHIPPED_GRAPH in record.files or (is_shipped and find_spec("torch") is None)


def _is_current(settings: Settings, identity: ModelIdentity, sample: Path) -> bool:
    """Tell whether the published index is the one that would be built now."""
    try:
        version = current_version(settings.indexes_dir, _CATALOGUE)
        manifest = verify(settings.indexes_dir, _CATALOGUE, version)
    except (VersionNotFound, CorruptArtifact):
        return False
    return (
        manifest.model == identity
        and manifest.source_sha256 == sha256_file(sample)
        and manifest.template_sha256 == SAMPLE_COLUMNS.text.sha256
    )


def _stand_in_notice(wanted: ModelRecord, stand_in: ModelRecord) -> str:
    return (
        f"{stand_in.id} answers: a stand-in, not a Chinese model. Where a hub can be reached: "
        f"magpie model pull {wanted.id} && magpie model export {wanted.id}, then start again."
    )
