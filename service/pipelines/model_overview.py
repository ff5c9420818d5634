"""The registry as a person chooses from it: what a model is, how large, and what is here.

Speed is shown only where it was measured: `models/<id>/reports/speed.json`, which the benchmark
of the encoder writes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from service.encoders.exports import ExportManifest, find_export
from service.encoders.registry import ModelRecord, Registry
from service.errors import MagpieError
from service.pipelines.licence_policy import LicencePolicy
from service.pipelines.model_lock import LOCK, UPSTREAM
from service.pipelines.model_provenance import REPORTS

SPEED = "speed.json"


class Speed(BaseModel):
    """How fast a model was, by precision, in texts a second of one core; and where."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    texts_per_s: dict[str, float]
    machine: str = ""
    tokens_of_a_text: float | None = None
    exports: dict[str, str] = {}
    measured_at: str = ""

    def write(self, models: Path, model_id: str) -> Path:
        """Write it to where `overview` looks for it; returns the path."""
        path = models / model_id / REPORTS / SPEED
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")
        return path


@dataclass(frozen=True, slots=True)
class Overview:
    """One model of the registry. `here` is `-`, `locked`, `pulled` or `exported DIGEST`."""

    id: str
    is_default: bool
    publisher: str
    country: str
    licence: str
    licence_verdict: str
    languages: tuple[str, ...]
    architecture: str
    parameters: int | None
    weights_bytes: int | None
    is_size_pinned: bool
    weights: tuple[str, ...]
    dim: int
    dims: tuple[int, ...]
    max_tokens: int
    pooling: str
    revision: str
    evidence: str
    pinned_files: int
    texts_per_s: Mapping[str, float]
    speed_machine: str
    stand_in: bool
    note: str
    here: str

    @property
    def is_obtainable(self) -> bool:
        """Whether the publisher is known to offer a form of the weights that we take."""
        return not self.weights or "safetensors" in self.weights


def overview(registry: Registry, models: Path) -> tuple[Overview, ...]:
    """Describe every model of the registry, in its order.

    Args:
        registry: the records.
        models: the folder that holds one folder a model.
    """
    policy = LicencePolicy.load(models)
    return tuple(
        _describe(record, models, policy, is_default=record.id == registry.default)
        for record in registry.records.values()
    )


def _describe(
    record: ModelRecord, models: Path, policy: LicencePolicy, *, is_default: bool
) -> Overview:
    speed = _speed(models / record.id / REPORTS / SPEED)
    return Overview(
        id=record.id,
        is_default=is_default,
        publisher=record.publisher,
        country=record.country,
        licence=record.licence,
        licence_verdict=policy.verdict(record.licence),
        languages=record.languages,
        architecture=record.architecture,
        parameters=record.parameters,
        weights_bytes=record.weights_bytes,
        is_size_pinned=record.has_pinned_weights,
        weights=record.weights,
        dim=record.dim,
        dims=record.dims,
        max_tokens=record.max_tokens,
        pooling=record.pooling,
        revision=record.revision,
        evidence=record.evidence,
        pinned_files=len(record.files),
        texts_per_s={} if speed is None else speed.texts_per_s,
        speed_machine="" if speed is None else speed.machine,
        stand_in=record.stand_in,
        note=record.note,
        here=_what_is_here(record, models),
    )


def _speed(path: Path) -> Speed | None:
    try:
        return Speed.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


def _what_is_here(record: ModelRecord, models: Path) -> str:
    try:
        export = find_export(models, record.id)
        return f"exported {export.name} ({ExportManifest.read(export).precision})"
    except MagpieError:
        if (models / record.id / UPSTREAM).is_dir():
            return "pulled"
        return "locked" if (models / record.id / LOCK).is_file() else "-"
