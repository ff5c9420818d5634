"""Quantise: a float32 export becomes an int8 one beside it, accepted only if it is faithful."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from shutil import copyfile
from tempfile import TemporaryDirectory

from tokenizers import Tokenizer

from service.artifacts import remove_staging
from service.encoders.exports import (
    GRAPH,
    MANIFEST,
    TOKENIZER,
    ExportedFile,
    ExportManifest,
    Parity,
    export_digest,
    export_folder,
    find_export,
    set_current,
)
from service.encoders.onnx_encoder import OnnxEncoder
from service.encoders.registry import ModelRecord
from service.errors import CorruptArtifact, ModelNotFound, ParityFailed
from service.pipelines.agreement import NEIGHBOURS, cosines, shared_neighbours
from service.pipelines.bert_weights import BertWeights, read_bert
from service.pipelines.export_model import take_export
from service.pipelines.int8_inputs import choose_inputs, measure_ranges
from service.pipelines.lean_graph import OPSET, write_lean_graph
from service.pipelines.model_lock import UPSTREAM
from service.pipelines.parity_texts import PARITY_TEXTS
from service.pipelines.pull_model import alone

LEAN = (
    "lean BERT graph; 8-bit linear layers, weights signed per column, inputs unsigned with fixed "
    "steps after shift and scale of each channel, one step a token behind GELU; word vectors "
    "float16; attention, norms and GELU float32"
)
PLAIN = "dynamic 8 bits, weights signed per column; the lean graph does not apply to this model"
PLAIN_AFTER_LEAN = "dynamic 8 bits, weights signed per column; the lean graph missed its gates"
_TOOLS = ("onnx", "onnxruntime", "tokenizers")
_CALIBRATION_TEXTS = 256
_WARNINGS_OF = logging.getLogger("root")


@dataclass(frozen=True, slots=True)
class Int8Gates:
    """What an int8 export has to reach against the float32 export it is made from."""

    mean_cosine: float = 0.99
    overlap_at_10: float = 0.95


@dataclass(frozen=True, slots=True)
class _Attempt:
    """A way to quantise: its words, and what writes the graph."""

    recipe: str
    write: Callable[[Path], None]


def quantize(
    record: ModelRecord,
    models: Path,
    *,
    now: datetime,
    texts: Sequence[str] = (),
    gates: Int8Gates | None = None,
    make_current: bool = False,
) -> Path:
    """Make an int8 export beside a model's float32 one; the same one is not made twice.

    Args:
        record: which model; it must have been exported.
        models: the folder that holds one folder a model.
        now: the time that goes into the manifest, with a time zone.
        texts: of the catalogue in question; steps are chosen and gates measured on them and the
            parity texts. Overlap is measured on these alone where there are enough of them.
        gates: what is asked; the defaults where None.
        make_current: let the model's id stand for the int8 export from now on.

    Returns:
        The export's folder, `models/<id>/exports/<digest>`.

    Raises:
        ModelNotFound: the model has not been exported in float32.
        CorruptArtifact: a file of that export is not the one that was exported.
        ParityFailed: no recipe reaches the gates; nothing is kept.
    """
    source = _float32_export(models, record.id)
    original = ExportManifest.read(source)
    original.verify(source)
    with alone(record.id, models / record.id):
        remove_staging(source.parent)
        with TemporaryDirectory(prefix=".staging-", dir=source.parent) as name:
            work = Path(name)
            copyfile(source / TOKENIZER, work / TOKENIZER)
            manifest = _first_that_holds(
                record, source, work, models, texts, gates or Int8Gates(), now
            )
            manifest.write(work)
            folder = export_folder(models, manifest.model)
            if not _is_there(folder):
                take_export(work, folder)
        if make_current:
            set_current(folder)
    return folder


def _float32_export(models: Path, model_id: str) -> Path:
    """Find the float32 export: the current one, or the one that the current was made from."""
    current = find_export(models, model_id)
    manifest = ExportManifest.read(current)
    if manifest.precision == "float32":
        return current
    for folder in sorted(current.parent.iterdir()):
        if (folder / MANIFEST).is_file():
            digest = ExportManifest.read(folder).identity.digest
            if digest == manifest.derived_from:
                return folder
    raise ModelNotFound(
        f"the float32 export of {model_id!r} is not here.", f"Run: magpie model export {model_id}"
    )


def _is_there(folder: Path) -> bool:
    try:
        ExportManifest.read(folder).verify(folder)
    except (ModelNotFound, CorruptArtifact):
        return False
    return True


def _first_that_holds(
    record: ModelRecord,
    source: Path,
    work: Path,
    models: Path,
    texts: Sequence[str],
    gates: Int8Gates,
    now: datetime,
) -> ExportManifest:
    """Leave the graph of the first recipe that reaches the gates in `work`; the best first."""
    original = ExportManifest.read(source)
    reference = OnnxEncoder.open(source, verify=False)
    config = models / record.id / UPSTREAM / "config.json"
    weights = read_bert(source / GRAPH, config, original.pooling)
    attempts: list[_Attempt] = []
    if weights is not None and weights.width == original.dim:
        attempts.append(_lean(weights, source, work, original, texts))
    plain = PLAIN_AFTER_LEAN if attempts else PLAIN
    attempts.append(_Attempt(plain, lambda path: _write_plain(source / GRAPH, path)))
    failures = []
    for attempt in attempts:
        attempt.write(work / GRAPH)
        manifest = _manifest(original, work, attempt.recipe, now)
        manifest.write(work)
        encoder = OnnxEncoder.open(work, verify=False)
        parity, overlap = _measure(encoder, reference, texts)
        if parity.mean_cosine >= gates.mean_cosine and overlap >= gates.overlap_at_10:
            return manifest.model_copy(update={"parity": parity})
        failures.append(f"mean cosine {parity.mean_cosine:.4f}, overlap@10 {overlap:.4f}")
    raise ParityFailed(
        f"{record.id}: 8 bits reach {' and '.join(failures)}; "
        f"{gates.mean_cosine} and {gates.overlap_at_10} are asked.",
        "Keep the float32 export, or give more texts of the catalogue to choose the steps on.",
    )


def _lean(
    weights: BertWeights,
    source: Path,
    work: Path,
    original: ExportManifest,
    texts: Sequence[str],
) -> _Attempt:
    def write(path: Path) -> None:
        tokenizer = Tokenizer.from_file(str(source / TOKENIZER))
        tokenizer.no_padding()
        tokenizer.enable_truncation(original.max_tokens)
        every = max(1, len(texts) // _CALIBRATION_TEXTS)
        chosen = [
            instruction + text
            for text in [*PARITY_TEXTS, *texts[::every]]
            for instruction in dict.fromkeys(
                (original.item_instruction, original.query_instruction)
            )
        ]
        measuring = work / "ranges.onnx"
        write_lean_graph(weights, measuring, with_ranges=True)
        ranges = measure_ranges(measuring, tokenizer, len(weights.layers), chosen)
        measuring.unlink()
        write_lean_graph(weights, path, choose_inputs(weights, ranges))

    return _Attempt(LEAN, write)


def _write_plain(source: Path, path: Path) -> None:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    level = _WARNINGS_OF.level
    # It advises, on the root logger, a preparation that gains nothing here.
    _WARNINGS_OF.setLevel(logging.ERROR)
    try:
        quantize_dynamic(source, path, per_channel=True, weight_type=QuantType.QInt8)
    finally:
        _WARNINGS_OF.setLevel(level)


def _measure(
    encoder: OnnxEncoder, reference: OnnxEncoder, texts: Sequence[str]
) -> tuple[Parity, float]:
    """Compare with float32; returns cosines on the parity texts and on `texts`, and overlap@10."""
    own = tuple(dict.fromkeys(texts))
    everything = (*PARITY_TEXTS, *own)
    ours, theirs = encoder.encode_items(everything), reference.encode_items(everything)
    found = cosines(ours, theirs)
    start = len(PARITY_TEXTS) if len(own) > 10 * NEIGHBOURS else 0
    overlap = float(shared_neighbours(ours[start:], theirs[start:]).mean())
    parity = Parity(
        min_cosine=float(found.min()), mean_cosine=float(found.mean()), texts=len(everything)
    )
    return parity, overlap


def _manifest(original: ExportManifest, work: Path, recipe: str, now: datetime) -> ExportManifest:
    files = {name: ExportedFile.of(work / name) for name in (GRAPH, TOKENIZER)}
    digest = export_digest(
        files,
        max_tokens=original.max_tokens,
        query_instruction=original.query_instruction,
        item_instruction=original.item_instruction,
    )
    return original.model_copy(
        update={
            "identity": original.identity.model_copy(update={"digest": digest}),
            "opset": OPSET if recipe == LEAN else original.opset,
            "files": files,
            "created_at": now.isoformat(timespec="seconds"),
            "tools": {name: version(name) for name in _TOOLS},
            "precision": "int8",
            "derived_from": original.identity.digest,
            "recipe": recipe,
        }
    )
