"""Export: a pulled model becomes one ONNX graph, accepted only if it is faithful."""

from dataclasses import replace
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import TemporaryDirectory

from service.artifacts import fsync_path, remove_staging, staged_folder
from service.encoders.exports import (
    GRAPH,
    TOKENIZER,
    ExportedFile,
    ExportManifest,
    Identity,
    Origin,
    Parity,
    Precision,
    export_digest,
    export_folder,
    exports_folder,
    find_export,
    set_current,
)
from service.encoders.onnx_encoder import OnnxEncoder
from service.encoders.registry import ModelRecord
from service.errors import (
    CorruptArtifact,
    InvalidSettings,
    ModelNotFound,
    ParityFailed,
    ToolMissing,
)
from service.pipelines.check_parity import check_parity, check_unaided
from service.pipelines.golden_vectors import GOLDEN, GoldenVectors, compare_golden
from service.pipelines.half_storage import FILE_LIMIT_BYTES
from service.pipelines.model_intake import SHIPPED_GRAPH
from service.pipelines.model_lock import UPSTREAM
from service.pipelines.publisher_graph import adopt
from service.pipelines.pull_model import alone, verify_upstream
from service.pipelines.sentence_graph import OPSET, quiet_libraries, write_graph
from service.pipelines.sentence_tokenizer import write_tokenizer

_TOOLS: dict[Origin, tuple[str, ...]] = {
    "converted": ("torch", "transformers", "sentence-transformers", "onnxruntime", "tokenizers"),
    "publisher": ("onnx", "onnxruntime", "tokenizers"),
}
_FROM_RECORD = (
    "dim", "max_tokens", "pooling", "normalize", "query_instruction", "item_instruction",
    "stand_in", "note", "licence",
)  # fmt: skip
_UNPROVEN = Parity(min_cosine=0.0, mean_cosine=0.0, texts=0)
MIN_COSINE = 0.9999


def export(
    record: ModelRecord,
    models: Path,
    *,
    now: datetime,
    min_cosine: float = MIN_COSINE,
    dim: int | None = None,
    limit_bytes: int = FILE_LIMIT_BYTES,
) -> Path:
    """Export a model and make the result current; the same export is not made twice.

    Where the weights were pulled, they are converted, which needs torch; where the publisher's
    own graph was pulled instead, that is taken, which does not.

    Args:
        record: which model; its files must have been pulled.
        models: the folder that holds one folder a model.
        now: the time that goes into the manifest, with a time zone.
        min_cosine: what every parity text must reach against the reference.
        dim: how many numbers of a vector to keep, one of the record's `dims`; None keeps all.
        limit_bytes: what one file may hold; weights that are larger are stored in 16 bits.

    Returns:
        The export's folder, `models/<id>/exports/<digest>`.

    Raises:
        ModelNotFound: the model has not been pulled.
        InvalidSettings: its vectors may not be cut to `dim`.
        ToolMissing: a package that the export needs is not installed.
        ModelRejected: its upstream files are of a kind we refuse to open.
        HashMismatch: its upstream files are not the pinned ones.
        ParityFailed: the graph does not give the reference's vectors; nothing is kept.
    """
    record = _cut(record, dim)
    upstream = models / record.id / UPSTREAM
    if not upstream.is_dir():
        raise ModelNotFound(
            f"the model {record.id!r} has not been pulled.", f"Run: magpie model pull {record.id}"
        )
    with alone(record.id, models / record.id):
        upstream_digest = verify_upstream(record, models).digest
        origin = _origin(upstream)
        tools = _tools(record, origin)
        done = _same_export(record, models, upstream_digest, tools)
        if done is not None:
            return done
        exports = exports_folder(models, record.id)
        exports.mkdir(exist_ok=True)
        remove_staging(exports)
        with TemporaryDirectory(prefix=".staging-", dir=exports) as name:
            work = Path(name)
            opset, precision = _write(upstream, record, work, origin, limit_bytes)
            manifest = _manifest(record, work, upstream_digest, tools, now).model_copy(
                update={"opset": opset, "origin": origin, "precision": precision}
            )
            manifest.write(work)
            parity = _prove(OnnxEncoder.open(work), upstream, record, models, min_cosine)
            manifest.model_copy(update={"parity": parity}).write(work)
            folder = export_folder(models, manifest.model)
            take_export(work, folder)
        set_current(folder)
    return folder


def _cut(record: ModelRecord, dim: int | None) -> ModelRecord:
    if dim is None or dim == record.dim:
        return record
    if dim not in record.dims:
        choices = ", ".join(map(str, record.dims or (record.dim,)))
        raise InvalidSettings(
            f"the vectors of {record.id} may not be cut to {dim} numbers.", f"Choose: {choices}."
        )
    return replace(record, dim=dim)


def _origin(upstream: Path) -> Origin:
    has_weights = any(upstream.glob("*.safetensors"))
    return "publisher" if (upstream / SHIPPED_GRAPH).is_file() and not has_weights else "converted"


def _tools(record: ModelRecord, origin: Origin) -> dict[str, str]:
    try:
        return {name: version(name) for name in _TOOLS[origin]}
    except PackageNotFoundError as error:
        hint = "Run: pip install torch 'magpie[export]'"
        if "onnx" in record.weights:
            hint += f"; or take the publisher's graph: magpie model pull {record.id} --onnx"
        raise ToolMissing(
            f"{error.name} is not installed, and {record.id} cannot be exported without it.", hint
        ) from None


def _write(
    upstream: Path, record: ModelRecord, work: Path, origin: Origin, limit_bytes: int
) -> tuple[int, Precision]:
    """Write graph and tokenizer; returns the graph's opset and what its weights are stored in."""
    if origin == "publisher":
        return adopt(upstream, record, work), "float32"
    with quiet_libraries():
        precision = write_graph(upstream, record, work / GRAPH, limit_bytes=limit_bytes)
    write_tokenizer(upstream, work / TOKENIZER)
    return OPSET, precision


def _prove(
    encoder: OnnxEncoder, upstream: Path, record: ModelRecord, models: Path, min_cosine: float
) -> Parity:
    """Compare with the reference where the weights are here, and with what was locked."""
    golden = GoldenVectors.read(models / record.id / GOLDEN)
    if golden is not None and golden.applies_to(encoder):
        result = compare_golden(golden, encoder, encoder.manifest.precision)
        if not result.passed:
            raise ParityFailed(
                f"{record.id}: a number is {result.max_error:.6f} from its golden one, "
                f"{result.tolerance} is allowed, on {result.worst_text[:60]!r}.",
                f"If new numbers are meant, delete models/{record.id}/{GOLDEN} first.",
            )
    if encoder.manifest.origin == "publisher":
        check_unaided(encoder, min_cosine=min_cosine)
        return _UNPROVEN
    with quiet_libraries():
        return check_parity(encoder, upstream, record, min_cosine=min_cosine)


def _same_export(
    record: ModelRecord, models: Path, upstream_digest: str, tools: dict[str, str]
) -> Path | None:
    """Find an intact export that was made from the same files, record and tools."""
    try:
        folder = find_export(models, record.id)
        manifest = ExportManifest.read(folder)
        manifest.verify(folder)
    except (ModelNotFound, CorruptArtifact):
        return None
    made_from = (manifest.upstream_digest, manifest.tools, manifest.derived_from)
    is_ours = manifest.origin == "publisher" or manifest.opset == OPSET
    if made_from != (upstream_digest, tools, None) or not is_ours:
        return None
    is_same = all(getattr(manifest, name) == getattr(record, name) for name in _FROM_RECORD)
    return folder if is_same else None


def _manifest(
    record: ModelRecord, folder: Path, upstream_digest: str, tools: dict[str, str], now: datetime
) -> ExportManifest:
    files = {name: ExportedFile.of(folder / name) for name in (GRAPH, TOKENIZER)}
    digest = export_digest(
        files,
        max_tokens=record.max_tokens,
        query_instruction=record.query_instruction,
        item_instruction=record.item_instruction,
    )
    return ExportManifest(
        identity=Identity(id=record.id, revision=record.revision, digest=digest),
        dim=record.dim,
        max_tokens=record.max_tokens,
        pooling=record.pooling,
        normalize=record.normalize,
        query_instruction=record.query_instruction,
        item_instruction=record.item_instruction,
        stand_in=record.stand_in,
        note=record.note,
        licence=record.licence,
        opset=OPSET,
        parity=_UNPROVEN,
        files=files,
        upstream_digest=upstream_digest,
        created_at=now.isoformat(timespec="seconds"),
        tools=tools,
    )


def take_export(work: Path, folder: Path) -> None:
    """Move a finished export to its name.

    The name is the digest of the content, so a folder that exists holds the same files, or
    damaged ones: each is replaced, and a service that has them open keeps what it has.
    """
    if folder.exists():
        for path in work.iterdir():
            path.replace(folder / path.name)
        fsync_path(folder)
        return
    with staged_folder(folder) as staging:
        for path in work.iterdir():
            path.replace(staging / path.name)
