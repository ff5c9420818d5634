"""Model records: what we know of a model before we have any of its files.

The records are data (`models/registry.toml`); adding a model needs no code. A file without a
pinned sha256 is trusted on first use: the first pull writes it into the model's lock.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from service.errors import InvalidSettings, ModelNotFound

Pooling: TypeAlias = Literal["cls", "mean", "last"]
Padding: TypeAlias = Literal["right", "left"]
Evidence: TypeAlias = Literal["A", "B", "C"]
"""How well a revision is known: A, the hashes stand in public copies of its files; B, several
public projects pin it; C, remembered, to be confirmed at the first pull."""

_Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
_Text = Annotated[str, Field(min_length=1, max_length=400)]
_COMMIT = 40
_DTYPE_BYTES = {"F32": 4, "F16": 2, "BF16": 2}


@dataclass(frozen=True, slots=True)
class FileRecord:
    """What a file must be, to the byte. `size_bytes` None where only the hash is known."""

    sha256: str
    size_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class ModelScopeName:
    """Where ModelScope keeps a model. Its history is its own: `revision` is no hub commit."""

    id: str
    revision: str = "master"


@dataclass(frozen=True, slots=True)
class ModelRecord:
    """One model of the registry.

    `revision` is the full commit on the hub, or the version of `package` where the weights come
    with an installed Python package. Instructions are put in front of a text as they stand.
    `normalize` says whether the publisher's own pipeline ends in unit vectors; ours always does.
    `dims` are the lengths a vector may be cut to (Matryoshka), none where only `dim` makes sense.
    `weights` are the formats of the weights at that revision as far as known; empty is unknown.
    """

    id: str
    hub_id: str
    revision: str
    licence: str
    publisher: str
    languages: tuple[str, ...]
    architecture: str
    pooling: Pooling
    dim: int
    max_tokens: int
    normalize: bool = True
    query_instruction: str = ""
    item_instruction: str = ""
    stand_in: bool = False
    package: str | None = None
    note: str = ""
    files: Mapping[str, FileRecord] = field(default_factory=dict)
    padding: Padding = "right"
    dims: tuple[int, ...] = ()
    parameters: int | None = None
    dtype: str = "F32"
    weights: tuple[str, ...] = ()
    base_model: str = ""
    country: str = ""
    modelscope: ModelScopeName | None = None
    evidence: Evidence = "C"
    sources: tuple[str, ...] = ()
    """Public places that state the revision or the hashes, as `owner/repository path`."""

    @property
    def weights_bytes(self) -> int | None:
        """Size of the weights: pinned where it is, else what the parameters amount to."""
        pins = [pin for name, pin in self.files.items() if name.endswith(".safetensors")]
        sizes = [pin.size_bytes for pin in pins if pin.size_bytes is not None]
        if sizes and len(sizes) == len(pins):
            return sum(sizes)
        if self.parameters is None:
            return None
        return self.parameters * _DTYPE_BYTES[self.dtype]

    @property
    def has_pinned_weights(self) -> bool:
        """Whether the sha256 of the weights was known before the first pull."""
        return any(name.endswith(".safetensors") for name in self.files)


@dataclass(frozen=True, slots=True)
class Registry:
    """All model records, by id, and which of them is used when nobody says."""

    default: str
    fallback: str
    records: Mapping[str, ModelRecord]

    @classmethod
    def load(cls, path: Path) -> "Registry":
        """Read and check a registry file.

        Raises:
            InvalidSettings: the file is missing, is not TOML, or a record is wrong; says where.
        """
        try:
            table = _RegistryTable.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise InvalidSettings(f"cannot read the model registry {path.name}: {error}") from error
        except ValidationError as error:
            raise InvalidSettings(
                f"the model registry {path.name} is wrong: {_first_fault(error)}",
                "Correct that line; models/README.md lists what a record holds.",
            ) from error
        records = {name: model.record(name) for name, model in table.models.items()}
        return cls(default=table.default, fallback=table.fallback, records=records)

    def get(self, model_id: str) -> ModelRecord:
        """Return the record of a model.

        Raises:
            ModelNotFound: no such record; names those that exist.
        """
        try:
            return self.records[model_id]
        except KeyError:
            known = ", ".join(sorted(self.records))
            raise ModelNotFound(
                f"no model {model_id!r} in the registry.", f"It knows: {known}."
            ) from None


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class _FileTable(_Strict):
    sha256: _Sha256
    size_bytes: Annotated[int, Field(gt=0)] | None = None


_RepositoryName = Annotated[str, Field(pattern=r"^[\w-][\w.-]*/[\w-][\w.-]*$")]


class _ModelScopeTable(_Strict):
    id: _RepositoryName
    revision: Annotated[str, Field(pattern=r"^[\w][\w.-]{0,63}$")] = "master"


class _ModelTable(_Strict):
    hub_id: _RepositoryName
    revision: _Text
    licence: _Text
    publisher: _Text
    languages: Annotated[list[_Text], Field(min_length=1)]
    architecture: _Text
    pooling: Pooling
    dim: Annotated[int, Field(gt=0, le=8192)]
    max_tokens: Annotated[int, Field(gt=2, le=131_072)]
    normalize: bool = True
    query_instruction: str = ""
    item_instruction: str = ""
    stand_in: bool = False
    package: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")] | None = None
    note: str = ""
    files: dict[str, _FileTable] = Field(default_factory=dict)
    padding: Padding = "right"
    dims: list[Annotated[int, Field(gt=0)]] = Field(default_factory=list)
    parameters: Annotated[int, Field(gt=0)] | None = None
    dtype: Literal["F32", "F16", "BF16"] = "F32"
    weights: list[Literal["safetensors", "pickle", "onnx"]] = Field(default_factory=list)
    base_model: str = ""
    country: Annotated[str, Field(pattern=r"^([A-Z]{2})?$")] = ""
    modelscope: _ModelScopeTable | None = None
    evidence: Evidence = "C"
    sources: list[_Text] = Field(default_factory=list)

    @field_validator("files")
    @classmethod
    def _names_stay_inside(cls, files: dict[str, _FileTable]) -> dict[str, _FileTable]:
        for name in files:
            path = PurePosixPath(name)
            if path.is_absolute() or ".." in path.parts or "\\" in name or str(path) != name:
                raise ValueError(f"{name!r} is not a plain relative path")
        return files

    @model_validator(mode="after")
    def _is_pinned(self) -> "_ModelTable":
        is_commit = len(self.revision) == _COMMIT and set(self.revision) <= set("0123456789abcdef")
        if self.package is None and not is_commit:
            raise ValueError(f"revision {self.revision!r} is not a full commit of 40 hex digits")
        if self.package is not None and "model.safetensors" not in self.files:
            raise ValueError("weights from a package need their sha256 in `files`")
        if self.dims and (sorted(set(self.dims)) != self.dims or self.dims[-1] != self.dim):
            raise ValueError("dims must rise and end in dim")
        return self

    def record(self, model_id: str) -> ModelRecord:
        scope = self.modelscope
        return ModelRecord(
            id=model_id,
            hub_id=self.hub_id,
            revision=self.revision,
            licence=self.licence,
            publisher=self.publisher,
            languages=tuple(self.languages),
            architecture=self.architecture,
            pooling=self.pooling,
            dim=self.dim,
            max_tokens=self.max_tokens,
            normalize=self.normalize,
            query_instruction=self.query_instruction,
            item_instruction=self.item_instruction,
            stand_in=self.stand_in,
            package=self.package,
            note=self.note,
            files={n: FileRecord(f.sha256, f.size_bytes) for n, f in self.files.items()},
            padding=self.padding,
            dims=tuple(self.dims),
            parameters=self.parameters,
            dtype=self.dtype,
            weights=tuple(self.weights),
            base_model=self.base_model,
            country=self.country,
            modelscope=None if scope is None else ModelScopeName(scope.id, scope.revision),
            evidence=self.evidence,
            sources=tuple(self.sources),
        )


_ModelId = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]


class _RegistryTable(_Strict):
    schema_version: Literal[1]
    default: str
    fallback: str
    models: Annotated[dict[_ModelId, _ModelTable], Field(min_length=1)]

    @model_validator(mode="after")
    def _defaults_exist(self) -> "_RegistryTable":
        for role, name in (("default", self.default), ("fallback", self.fallback)):
            if name not in self.models:
                raise ValueError(f"{role} names {name!r}, which has no record")
        return self


def _first_fault(error: ValidationError) -> str:
    fault = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in fault["loc"]) or "top level"
    return f"{where}: {fault['msg']}"
