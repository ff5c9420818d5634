"""Verify: everything that is here of a model against what was pinned, without a network.

Nothing is loaded by a machine-learning library; every finding names a file and a reason.
"""

import importlib.util
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from service.encoders.custody import check_custody
from service.encoders.exports import GRAPH, MANIFEST, ExportedFile, ExportManifest, exports_folder
from service.encoders.registry import ModelRecord
from service.errors import CorruptArtifact, ModelMismatch, ModelNotFound, ModelRejected
from service.pipelines.licence_policy import LicencePolicy
from service.pipelines.model_intake import find_violations
from service.pipelines.model_lock import LOCK, UPSTREAM, ModelLock, find_mismatches, measure
from service.pipelines.model_provenance import RED_TEAM
from service.pipelines.onnx_gate import find_graph_faults


class Verdict(IntEnum):
    """Exit codes of `magpie model verify`; with several findings the smallest counts."""

    OK = 0
    HASH = 2
    EXTRA = 3
    FORMAT = 4
    LICENCE = 5
    SIGNATURE = 6
    """Not given out: no publisher of ours signs."""
    RED_TEAM = 7


@dataclass(frozen=True, slots=True)
class Finding:
    """A file that is not as it must be, and why. The path is relative to the model's folder."""

    file: str
    reason: str
    verdict: Verdict


def examine(
    record: ModelRecord, models: Path, *, now: datetime, require_red_team: bool = False
) -> tuple[Finding, ...]:
    """Look at a model's upstream files, exports, lock and licence.

    Args:
        record: what the registry says.
        models: the folder that holds one folder a model.
        now: red-team reports must be valid then.
        require_red_team: whether a model without such a report is a finding.

    Returns:
        What is wrong, by file; nothing if all is well.

    Raises:
        ModelNotFound: nothing is here of this model.
    """
    folder = models / record.id
    exports = _exports(models, record.id)
    if not (folder / UPSTREAM).exists() and not exports:
        raise ModelNotFound(
            f"nothing is here of the model {record.id!r}.", f"Run: magpie model pull {record.id}"
        )
    findings = [*_licence(record, models), *_upstream(record, folder)]
    for export in exports:
        findings += _export(models, export)
    if require_red_team:
        findings += _red_team(folder, now)
    return tuple(dict.fromkeys(findings))


def verdict_of(findings: tuple[Finding, ...]) -> Verdict:
    """The one exit code of several findings."""
    return min((finding.verdict for finding in findings), default=Verdict.OK)


def _exports(models: Path, model_id: str) -> list[Path]:
    folder = exports_folder(models, model_id)
    if not folder.is_dir():
        return []
    return sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))


def _licence(record: ModelRecord, models: Path) -> Iterator[Finding]:
    if LicencePolicy.load(models).verdict(record.licence) == "refused":
        reason = f"{record.licence} is not on the list of accepted licences"
        yield Finding("LICENSE", reason, Verdict.LICENCE)


def _upstream(record: ModelRecord, folder: Path) -> Iterator[Finding]:
    try:
        lock = ModelLock.read(folder / LOCK)
    except ModelRejected as error:
        yield Finding(LOCK, error.message, Verdict.HASH)
        return
    if lock is not None and lock.licence != record.licence:
        reason = f"the lock says {lock.licence}, the registry {record.licence}"
        yield Finding(LOCK, reason, Verdict.LICENCE)
    upstream = folder / UPSTREAM
    if not upstream.exists():
        return
    if lock is None:
        yield Finding(LOCK, "is missing: nothing says what the files must be", Verdict.HASH)
    refused = set()
    for violation in find_violations(upstream):
        refused.add(violation.file)
        is_extra = violation.kind == "extra"
        verdict = Verdict.EXTRA if is_extra else Verdict.FORMAT
        yield Finding(f"{UPSTREAM}/{violation.file}", violation.reason, verdict)
    known = {file.path for file in lock.files} if lock is not None else set()
    for name, complaint in find_mismatches(measure(upstream), record, lock):
        is_extra = lock is not None and name not in known and name != LOCK
        if not (is_extra and name in refused):
            verdict = Verdict.EXTRA if is_extra else Verdict.HASH
            yield Finding(f"{UPSTREAM}/{name}", complaint, verdict)


def _export(models: Path, export: Path) -> Iterator[Finding]:
    where = f"exports/{export.name}"
    try:
        manifest = ExportManifest.read(export)
    except (CorruptArtifact, ModelNotFound) as error:
        yield Finding(f"{where}/{MANIFEST}", error.message, Verdict.FORMAT)
        return
    damaged = False
    for name, expected in manifest.files.items():
        reason = _file_fault(export / name, expected)
        if reason is not None:
            damaged = True
            yield Finding(f"{where}/{name}", reason[0], reason[1])
    for path in sorted(export.iterdir()):
        if path.name not in (*manifest.files, MANIFEST):
            yield Finding(f"{where}/{path.name}", "is not part of the export", Verdict.EXTRA)
    try:
        check_custody(models, manifest, index_lock=None)
    except ModelMismatch as error:
        yield Finding(f"{where}/{MANIFEST}", error.message, Verdict.HASH)
    # Without the package nothing is converted here, and the hash has been compared all the same.
    if not damaged and importlib.util.find_spec("onnx") is not None:
        for fault in find_graph_faults(export / GRAPH):
            yield Finding(f"{where}/{GRAPH}", fault, Verdict.FORMAT)


def _file_fault(path: Path, expected: ExportedFile) -> tuple[str, Verdict] | None:
    try:
        status = path.lstat()
    except FileNotFoundError:
        return "is missing", Verdict.HASH
    if not stat.S_ISREG(status.st_mode):
        return "is not a regular file", Verdict.FORMAT
    if status.st_nlink != 1:
        return "is a hard link", Verdict.FORMAT
    if ExportedFile.of(path) != expected:
        return "is not the file that was exported", Verdict.HASH
    return None


class _RedTeam(BaseModel):
    """What a red-team report must say of itself, whatever else it says."""

    model_config = ConfigDict(frozen=True)

    lock_digest: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    verdict: Literal["passed", "failed"]
    valid_until: datetime


def _red_team(folder: Path, now: datetime) -> Iterator[Finding]:
    try:
        report = _RedTeam.model_validate_json((folder / RED_TEAM).read_bytes())
    except FileNotFoundError:
        yield Finding(RED_TEAM, "is missing, and was asked for", Verdict.RED_TEAM)
        return
    except ValidationError:
        yield Finding(RED_TEAM, "is not a red-team report", Verdict.RED_TEAM)
        return
    lock = ModelLock.read(folder / LOCK)
    if lock is not None and report.lock_digest != lock.digest:
        yield Finding(RED_TEAM, "is about other files than the locked ones", Verdict.RED_TEAM)
    if report.verdict != "passed":
        yield Finding(RED_TEAM, "says that the model failed", Verdict.RED_TEAM)
    if report.valid_until.tzinfo is None or report.valid_until <= now:
        yield Finding(RED_TEAM, "has expired", Verdict.RED_TEAM)
