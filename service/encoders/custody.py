"""The chain from a publisher's file to an answer, checked before anything is served.

    upstream files → lock → tokenizer and ONNX graph → int8 graph → vectors → index → answer

Every artefact names the digest of what it was made from. Here the links that a serving machine
can see are compared; the first, hashing the publisher's files, is `magpie model verify`.
"""

import hashlib
from pathlib import Path

import orjson

from service.encoders.exports import (
    GRAPH,
    TOKENIZER,
    ExportManifest,
    export_digest,
    exports_folder,
)
from service.errors import CorruptArtifact, ModelMismatch, ModelNotFound

_LOCK = "lock.json"
_LONGEST_LINE = 8
"""Graphs that are made of one another; int8 of float is one step."""


def check_custody(models: Path, manifest: ExportManifest, *, index_lock: str | None) -> None:
    """Refuse an export whose chain is broken, and say between which two links.

    A machine that holds the exports only has no lock; then the exports must agree with the index.

    Args:
        models: the folder that holds one folder a model.
        manifest: of the export about to be used; its files have been hashed.
        index_lock: the lock's digest as the index knows it; None for an index without one.

    Raises:
        ModelMismatch: a link is broken; the message names both of its ends.
    """
    name = manifest.identity.id
    _check_identity(manifest)
    if index_lock is not None and index_lock != manifest.upstream_digest:
        raise _broken(
            f"the ONNX graph of {name}",
            "the index",
            f"the index knows the upstream files {index_lock[:12]}, "
            f"the graph was made from {manifest.upstream_digest[:12]}",
            "Build the index again, or bring the export that made it.",
        )
    for child, parent in _line(models, manifest):
        if parent.upstream_digest != child.upstream_digest:
            raise _broken(
                f"the graph {parent.identity.digest[:12]} of {name}",
                f"the {child.precision} graph made from it",
                f"they name different upstream files, {parent.upstream_digest[:12]} "
                f"and {child.upstream_digest[:12]}",
                f"Run: magpie model export {name}, and quantise again.",
            )
    _check_lock(models, manifest)


def _check_identity(manifest: ExportManifest) -> None:
    decisive = {name: manifest.files[name] for name in (GRAPH, TOKENIZER) if name in manifest.files}
    digest = export_digest(
        decisive,
        max_tokens=manifest.max_tokens,
        query_instruction=manifest.query_instruction,
        item_instruction=manifest.item_instruction,
    )
    if digest != manifest.identity.digest:
        raise _broken(
            f"tokenizer, graph and instructions of {manifest.identity.id}",
            "its export",
            f"together they are {digest[:12]}, the export calls itself "
            f"{manifest.identity.digest[:12]}",
            f"Run: magpie model export {manifest.identity.id}",
        )


def _line(models: Path, manifest: ExportManifest) -> list[tuple[ExportManifest, ExportManifest]]:
    """Pairs of a graph and the one it was made from, as far as they are here."""
    pairs: list[tuple[ExportManifest, ExportManifest]] = []
    while manifest.derived_from is not None and len(pairs) < _LONGEST_LINE:
        folder = exports_folder(models, manifest.identity.id)
        try:
            parent = ExportManifest.read(folder / manifest.derived_from[:12])
        except (ModelNotFound, CorruptArtifact):
            # Only what is served has to be here.
            break
        pairs.append((manifest, parent))
        manifest = parent
    return pairs


def _check_lock(models: Path, manifest: ExportManifest) -> None:
    name = manifest.identity.id
    try:
        lock = orjson.loads((models / name / _LOCK).read_bytes())
        pairs = sorted((file["path"], file["sha256"]) for file in lock["files"])
        digest = str(lock["digest"])
    except FileNotFoundError:
        return
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise ModelMismatch(
            f"the lock of {name} cannot be read, so nothing shows where its graph is from.",
            f"Restore models/{name}/{_LOCK} from git.",
        ) from error
    if hashlib.sha256(orjson.dumps(pairs)).hexdigest() != digest:
        raise _broken(
            f"the upstream files of {name}",
            "its lock",
            "the lock's digest does not follow from the files it lists",
            f"Restore models/{name}/{_LOCK} from git.",
        )
    if digest != manifest.upstream_digest:
        raise _broken(
            f"the lock of {name}",
            "its ONNX graph",
            f"the lock is {digest[:12]}, the graph was made from {manifest.upstream_digest[:12]}",
            f"Run: magpie model export {name}, and build the index again.",
        )


def _broken(left: str, right: str, fact: str, hint: str) -> ModelMismatch:
    return ModelMismatch(f"the chain is broken between {left} and {right}: {fact}.", hint)
