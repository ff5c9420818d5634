"""Exported models on disk: where they lie, and what a folder says about itself.

`models/<id>/exports/<first 12 digits of the digest>/` holds `model.onnx`, `tokenizer.json` and
`export.json`; `models/<id>/exports/CURRENT` names the folder in use.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from service.artifacts import sha256_file, write_atomic
from service.encoders.registry import Pooling
from service.errors import CorruptArtifact, ModelMismatch, ModelNotFound
from service.types import ModelIdentity

GRAPH = "model.onnx"
TOKENIZER = "tokenizer.json"
MANIFEST = "export.json"
_CURRENT = "CURRENT"
_NAME_LENGTH = 12

Precision: TypeAlias = Literal["float32", "float16", "int8"]
"""What the weights of a graph are stored in."""
Origin: TypeAlias = Literal["converted", "publisher"]
"""Whether we converted the graph from the weights, or took the one the publisher ships."""

_Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ExportedFile(_Strict):
    """Hash and size of one file of an export."""

    sha256: _Sha256
    size_bytes: Annotated[int, Field(ge=0)]

    @classmethod
    def of(cls, path: Path) -> "ExportedFile":
        """Measure a file."""
        return cls(sha256=sha256_file(path), size_bytes=path.stat().st_size)


class Parity(_Strict):
    """How close the graph comes to the reference: cosine over `texts` fixed texts.

    With 0 texts nothing was compared: the publisher's graph was taken and no reference was here.
    """

    min_cosine: float
    mean_cosine: float
    texts: int


class Identity(_Strict):
    """`ModelIdentity` as it stands in JSON."""

    id: str
    revision: str
    digest: _Sha256


class ExportManifest(_Strict):
    """`export.json`: what an export is, how it was made, and how faithful it is."""

    schema_version: Literal[1] = 1
    identity: Identity
    dim: Annotated[int, Field(gt=0)]
    max_tokens: Annotated[int, Field(gt=2)]
    pooling: Pooling
    normalize: bool
    query_instruction: str
    item_instruction: str
    stand_in: bool
    note: str
    licence: str
    opset: int
    parity: Parity
    files: Mapping[str, ExportedFile]
    upstream_digest: _Sha256
    """Digest of the upstream files this was made from, as in the model's lock."""
    created_at: str
    tools: Mapping[str, str]
    precision: Precision = "float32"
    origin: Origin = "converted"
    derived_from: _Sha256 | None = None
    """Digest of the export this was made from, e.g. by quantising; None: from upstream files."""
    recipe: str = ""
    """How the numbers were made smaller, in words; empty where they were not."""

    @property
    def model(self) -> ModelIdentity:
        """The identity that indexes and answers carry."""
        return ModelIdentity(self.identity.id, self.identity.revision, self.identity.digest)

    def write(self, folder: Path) -> None:
        """Put `export.json` into an export folder."""
        text = orjson.dumps(self.model_dump(mode="json"), option=orjson.OPT_INDENT_2)
        write_atomic(folder / MANIFEST, text + b"\n")

    @classmethod
    def read(cls, folder: Path) -> "ExportManifest":
        """Read `export.json` of an export folder.

        Raises:
            ModelNotFound: there is none.
            CorruptArtifact: it is not a manifest.
        """
        try:
            return cls.model_validate_json((folder / MANIFEST).read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            raise ModelNotFound(f"{folder.name} is not an exported model: no {MANIFEST}.") from None
        except ValidationError as error:
            fault = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(str(part) for part in fault["loc"])
            raise CorruptArtifact(
                f"{folder.name}/{MANIFEST} is damaged ({where}: {fault['msg']}).",
                "Export the model again.",
            ) from error

    def verify(self, folder: Path) -> None:
        """Compare every file of an export with the manifest.

        Raises:
            CorruptArtifact: a file is missing or is not the one that was exported.
        """
        for name, expected in self.files.items():
            path = folder / name
            if not path.is_file() or path.is_symlink() or ExportedFile.of(path) != expected:
                raise CorruptArtifact(
                    f"{folder.name}/{name} is not the file that was exported.",
                    f"Run: magpie model export {self.identity.id}",
                )


def export_digest(
    files: Mapping[str, ExportedFile],
    *,
    max_tokens: int,
    query_instruction: str,
    item_instruction: str,
) -> str:
    """Digest of everything that decides the numbers: graph, tokenizer, cut-off, instructions."""
    decisive = {
        "files": {name: file.sha256 for name, file in files.items()},
        "max_tokens": max_tokens,
        "query_instruction": query_instruction,
        "item_instruction": item_instruction,
    }
    return hashlib.sha256(orjson.dumps(decisive, option=orjson.OPT_SORT_KEYS)).hexdigest()


def exports_folder(models: Path, model_id: str) -> Path:
    """Where the exports of a model lie."""
    return models / model_id / "exports"


def export_folder(models: Path, identity: ModelIdentity) -> Path:
    """Where the export of this identity lies, or would lie."""
    return exports_folder(models, identity.id) / identity.digest[:_NAME_LENGTH]


def set_current(export: Path) -> None:
    """Make an export the one that its model's id stands for."""
    write_atomic(export.parent / _CURRENT, export.name.encode() + b"\n")


def find_export(models: Path, wanted: str | ModelIdentity) -> Path:
    """Find an export by model id (the current one) or by identity (exactly that one).

    Raises:
        ModelNotFound: the model has not been exported.
        ModelMismatch: it has been, but this export of it is not here.
    """
    if isinstance(wanted, str):
        return _current_export(models, wanted)
    folder = export_folder(models, wanted)
    if (folder / MANIFEST).is_file():
        found = ExportManifest.read(folder).model
        if found == wanted:
            return folder
    current = ExportManifest.read(_current_export(models, wanted.id)).model
    raise ModelMismatch(
        f"wanted {wanted} with digest {wanted.digest[:_NAME_LENGTH]}, "
        f"but here {wanted.id} is exported as {current.digest[:_NAME_LENGTH]}.",
        "Bring that export here, or build the index again with this one.",
    )


def _current_export(models: Path, model_id: str) -> Path:
    exports = exports_folder(models, model_id)
    command = f"Run: magpie model pull {model_id} && magpie model export {model_id}"
    try:
        name = (exports / _CURRENT).read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        raise ModelNotFound(f"the model {model_id!r} has not been exported.", command) from None
    folder = exports / name
    if not name or Path(name).name != name or not (folder / MANIFEST).is_file():
        raise ModelNotFound(f"{model_id}: {_CURRENT} names an export that is not here.", command)
    return folder
