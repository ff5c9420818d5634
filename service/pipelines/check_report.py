"""What a check of an export found: figures, gates and a verdict, kept beside the model in git.

`models/<id>/reports/<first 12 digits of the export's digest>.json`, and a page of the same name.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from service.artifacts import write_atomic
from service.encoders.exports import ExportManifest, Identity, Origin, Precision
from service.errors import CorruptArtifact, ParityFailed
from service.pipelines.golden_vectors import GoldenResult
from service.types import ModelCheck

REPORTS = "reports"

Verdict: TypeAlias = Literal["passed", "failed", "unproven"]
"""`unproven`: no gate failed, but there was nothing to compare the export with."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Distribution(_Strict):
    """Cosines of many texts. `counts` are the texts in equal steps from `low` to 1."""

    min: float
    p1: float
    mean: float
    low: float
    counts: tuple[int, ...]


class WorstText(_Strict):
    """The beginning of a text on which two runs agree least."""

    text: str
    cosine: float


class Comparison(_Strict):
    """Two ways to encode the same texts. `overlap_at_10` is among these texts alone."""

    left: str
    right: str
    texts: int
    cosine: Distribution
    overlap_at_10: float | None = None
    similarity_loss: float | None = None
    """Share of similarity, as the left side sees it, that the right side's ten nearest lack."""
    shared: tuple[int, ...] = ()
    """How many texts share 0, 1, … 10 of their ten nearest."""
    worst: tuple[WorstText, ...] = ()


class RankingLoss(_Strict):
    """NDCG@10 of labelled queries; the loss is relative, with its 95 % bootstrap interval."""

    left: str
    right: str
    queries: int
    items: int
    ndcg_left: float
    ndcg_right: float
    loss: float
    loss_low: float
    loss_high: float


class Gate(_Strict):
    """One demand: what was measured, what is asked, and on which side of it lies good."""

    name: str
    measured: float
    asked: float
    direction: Literal["at least", "at most"]
    passed: bool


class SampleFacts(_Strict):
    """Which texts were used; their sha256 is over all of them in order."""

    source: str
    texts: int
    sha256: str


class CheckReport(_Strict):
    """Everything one check found about one export."""

    schema_version: Literal[1] = 1
    model: Identity
    precision: Precision
    origin: Origin
    dim: int
    recipe: str = ""
    checked_at: str
    sample: SampleFacts
    comparisons: tuple[Comparison, ...]
    ranking: tuple[RankingLoss, ...] = ()
    golden: GoldenResult | None = None
    gates: Annotated[tuple[Gate, ...], Field(min_length=1)]
    verdict: Verdict
    notes: tuple[str, ...] = ()
    tools: Mapping[str, str]

    @property
    def failed(self) -> tuple[Gate, ...]:
        """Gates that were not met."""
        return tuple(gate for gate in self.gates if not gate.passed)

    def write(self, path: Path) -> None:
        """Write the report as JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        text = orjson.dumps(self.model_dump(mode="json"), option=orjson.OPT_INDENT_2)
        write_atomic(path, text + b"\n")


def report_path(export: Path) -> Path:
    """Where the report of an export lies: outside it, since it is reviewed and in git."""
    return export.parent.parent / REPORTS / f"{export.name}.json"


def read_report(export: Path) -> CheckReport | None:
    """Read the report of an export; None where this very export was never checked.

    Raises:
        CorruptArtifact: the file is there and is no report.
    """
    path = report_path(export)
    try:
        report = CheckReport.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in fault["loc"])
        raise CorruptArtifact(
            f"{REPORTS}/{path.name} is damaged ({where}: {fault['msg']}).",
            "Restore it from git, or check the model again.",
        ) from error
    return report if report.model == ExportManifest.read(export).identity else None


def require_checked(export: Path, *, force: bool = False) -> ModelCheck:
    """Refuse an export whose check failed.

    Args:
        export: an export folder.
        force: use it all the same; the answer says so, and belongs into the index's manifest.

    Returns:
        How the export stands.

    Raises:
        ParityFailed: its check failed, and nobody forces.
        CorruptArtifact: its report is damaged.
    """
    report = read_report(export)
    if report is None:
        return "unchecked"
    if report.verdict != "failed":
        return report.verdict
    if force:
        return "failed, forced"
    faults = "; ".join(
        f"{gate.name} {gate.measured:.4f}, {gate.direction} {gate.asked} is asked"
        for gate in report.failed
    )
    raise ParityFailed(
        f"{report.model.id} in {report.precision} failed its check: {faults}.",
        f"Read models/{report.model.id}/{REPORTS}/{export.name}.html, or say --force.",
    )
