"""Fill a lock with what can be known now: from the record, the files, the exports, the reports."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Literal

from service import __version__
from service.artifacts import sha256_file
from service.encoders.exports import MANIFEST, ExportManifest, exports_folder
from service.encoders.registry import ModelRecord
from service.pipelines.file_roles import media_type, role_of
from service.pipelines.licence_policy import LicencePolicy
from service.pipelines.lock_sections import (
    Conversion,
    Evidence,
    Formats,
    Interface,
    Known,
    Licence,
    LockedReport,
    OriginClaims,
    Provenance,
    Sha256,
)
from service.pipelines.model_intake import TOKENIZERS
from service.pipelines.model_lock import LOCK, UPSTREAM, LockedFile, ModelLock, files_digest

GOLDEN = "golden.json"
RED_TEAM = "red-team.json"
REPORTS = "reports"
_LICENCES = ("LICENSE", f"{UPSTREAM}/LICENSE", f"{UPSTREAM}/LICENSE.txt", f"{UPSTREAM}/LICENSE.md")


def new_lock(
    record: ModelRecord,
    files: tuple[LockedFile, ...],
    *,
    folder: Path,
    source: str,
    now: datetime,
    tools: Mapping[str, str],
) -> ModelLock:
    """Make the lock of files that have just arrived and passed the gate.

    Args:
        record: what the registry says.
        files: what arrived, measured.
        folder: the model's folder, `models/<id>`.
        source: `hub`, `mirror`, `modelscope`, `folder` or `package NAME`.
        now: when they arrived, with a time zone.
        tools: what fetched them, by version.
    """
    lock = ModelLock(
        id=record.id,
        hub_id=record.hub_id,
        revision=record.revision,
        licence=record.licence,
        source=source,
        files=files,
        digest=files_digest(files),
        retrieved_at=now.isoformat(timespec="seconds"),
        tools={"magpie": __version__, **tools},
    )
    return with_provenance(lock, record, folder)


def with_provenance(lock: ModelLock, record: ModelRecord, folder: Path) -> ModelLock:
    """Bring the provenance of a lock up to date; its files, digest and origin stay.

    Approval, evaluation and whatever else was entered by people or other programs is kept.
    """
    fresh = Provenance(
        formats=_formats(lock, record),
        origin=OriginClaims(
            publisher=record.publisher,
            country=record.country or "unknown",
            base_model=record.base_model or "unknown",
            languages=record.languages,
        ),
        licence=_licence(record, folder),
        interface=_interface(lock, record),
        evidence=Evidence(
            grade=record.evidence, pinned_files=tuple(sorted(record.files)), sources=record.sources
        ),
        golden_vectors=_report(folder / GOLDEN),
        conversions=_merged(lock.provenance.conversions, _conversions(folder)),
        evaluation=_evaluation(folder),
        red_team=_report(folder / RED_TEAM),
        safety=lock.provenance.safety,
        approval=lock.provenance.approval,
    )
    files = tuple(
        file.model_copy(update={"role": role_of(file.path), "media_type": media_type(file.path)})
        for file in lock.files
    )
    changed = {"schema_version": 2, "files": files, "provenance": fresh}
    return lock.model_copy(update=changed).sealed()


def refresh_lock(record: ModelRecord, models: Path, lock: ModelLock) -> ModelLock:
    """Write a verified model's lock again with everything that is known by now."""
    folder = models / record.id
    refreshed = with_provenance(lock, record, folder)
    refreshed.write(folder / LOCK)
    return refreshed


def _formats(lock: ModelLock, record: ModelRecord) -> Formats:
    has_weights = any(file.path.endswith(".safetensors") for file in lock.files)
    weights: Literal["safetensors", "onnx"] = "safetensors" if has_weights else "onnx"
    dtype = record.dtype if has_weights else "F32"
    return Formats(weights=weights, dtype=dtype, gate=f"magpie {__version__}")


def _licence(record: ModelRecord, folder: Path) -> Licence:
    policy = LicencePolicy.load(folder.parent)
    texts = [folder / name for name in _LICENCES if (folder / name).is_file()]
    return Licence(
        spdx=record.licence,
        text_sha256=sha256_file(texts[0]) if texts else "unknown",
        verdict=policy.verdict(record.licence),
        obligations=policy.obligations(record.licence),
    )


def _interface(lock: ModelLock, record: ModelRecord) -> Interface:
    hashes = {file.path: file.sha256 for file in lock.files}
    tokenizers: list[Sha256] = [hashes[name] for name in TOKENIZERS if name in hashes]
    return Interface(
        architecture=record.architecture,
        dim=record.dim,
        dims=record.dims,
        max_tokens=record.max_tokens,
        pooling=record.pooling,
        padding=record.padding,
        normalize=record.normalize,
        query_instruction=record.query_instruction,
        item_instruction=record.item_instruction,
        tokenizer_sha256=tokenizers[0] if tokenizers else "unknown",
    )


def _conversions(folder: Path) -> Iterator[Conversion]:
    for path in sorted(exports_folder(folder.parent, folder.name).glob(f"*/{MANIFEST}")):
        manifest = ExportManifest.read(path.parent)
        yield Conversion(
            digest=manifest.identity.digest,
            upstream_digest=manifest.upstream_digest,
            derived_from=manifest.derived_from,
            precision=manifest.precision,
            recipe=manifest.recipe,
            opset=manifest.opset,
            files={name: file.sha256 for name, file in manifest.files.items()},
            tools=manifest.tools,
            min_cosine=manifest.parity.min_cosine,
            mean_cosine=manifest.parity.mean_cosine,
            texts=manifest.parity.texts,
            created_at=manifest.created_at,
        )


def _merged(known: tuple[Conversion, ...], found: Iterator[Conversion]) -> tuple[Conversion, ...]:
    """Conversions on record stay there, also on a machine that has not their files."""
    by_digest = {each.digest: each for each in known} | {each.digest: each for each in found}
    return tuple(by_digest[digest] for digest in sorted(by_digest))


def _report(path: Path) -> Known[LockedReport]:
    if not path.is_file():
        return "unknown"
    return LockedReport(path=path.name, sha256=sha256_file(path))


def _evaluation(folder: Path) -> Known[tuple[LockedReport, ...]]:
    paths = sorted((folder / REPORTS).glob("*.json"))
    reports = tuple(
        LockedReport(path=f"{REPORTS}/{path.name}", sha256=sha256_file(path)) for path in paths
    )
    return reports or "unknown"
