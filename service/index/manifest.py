"""`manifest.json`: what a version is, how it was made, and the sha256 of every file in it.

Specified in indexes/README.md and indexes/manifest.schema.json.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from service.artifacts import sha256_bytes, sha256_file
from service.errors import CorruptArtifact
from service.index.layout import (
    CATALOGUE_PATTERN,
    INDEX,
    MANIFEST,
    VECTORS,
    VERSION_PATTERN,
    version_name,
)
from service.types import ModelCheck, ModelIdentity

# A few hundred bytes a file; a manifest beyond this is not one of ours.
_SIZE_MAX = 4 << 20

Factory = Annotated[
    str,
    Field(
        pattern=r"^(Flat|(PCA[1-9][0-9]{0,3},)?"
        r"(HNSW[1-9][0-9]?,SQ(4|6|8|fp16)"
        r"|IVF[1-9][0-9]{0,5},(SQ8|PQ[1-9][0-9]{0,3}x4fs|RaBitQfs)))$"
    ),
]
"""FAISS index types that we build and are willing to open, in FAISS's own spelling."""

_Count = Annotated[int, Field(ge=0)]
_Share = Annotated[float, Field(ge=0.0, le=1.0)]
_Size = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
_Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
# Relative, forward slashes, no hidden files, no way up.
_RelativePath = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*$")
]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class FileEntry(_Strict):
    """Hash and size of one file of a version."""

    sha256: _Sha256
    size_bytes: _Count

    @classmethod
    def of(cls, path: Path) -> "FileEntry":
        """Measure a file."""
        return cls(sha256=sha256_file(path), size_bytes=path.stat().st_size)


class EfSearch(_Strict):
    """How hard to search when 10 and when 100 neighbours are wanted.

    HNSW: candidates to keep; IVF: lists to look into. All was chosen by measurement on this
    version; for other numbers of neighbours it lies on the line through the two.

    Attributes:
        at_10: for up to 10 neighbours.
        at_100: for 100.
        spare_at_10: found rows beyond the 10 that are scored again with the full vectors:
            stored codes misorder close neighbours.
        spare_at_100: the same beyond the 100.
        rescored: False leaves the full vectors alone: scores are then estimates from the codes.
        compared_at_10: rows that a filter lets through to compare, list by list, for 10; 0 where
            the index has no lists.
        compared_at_100: the same for 100.
        reach_at_10: how much farther than the 10th best node so far one may be for a compiled walk
            to follow it, as a share of that distance. Such a walk ends where it cannot get better,
            and keeps a sixteenth more candidates where it can. 0: it follows all it keeps.
        reach_at_100: the same beyond the 100th best.
        longest: the length of the longest vector, which distances are measured with.
    """

    at_10: Annotated[int, Field(ge=1)]
    at_100: Annotated[int, Field(ge=1)]
    spare_at_10: _Count = 6
    spare_at_100: _Count = 6
    rescored: bool = True
    compared_at_10: _Count = 0
    compared_at_100: _Count = 0
    reach_at_10: _Size = 0.0
    reach_at_100: _Size = 0.0
    longest: _Size = 0.0

    def at(self, k: int) -> int:
        """Effort for k neighbours."""
        return _on_line(self.at_10, self.at_100, k)

    def kept(self, k: int) -> int:
        """Candidates that a compiled walk for k neighbours keeps at most."""
        return self.at(k) * 17 // 16 if self.reach_at_10 else self.at(k)

    def reach(self, k: int) -> float:
        """How much farther than the k-th best node one may be to be followed; 0: any distance."""
        share = (min(max(k, 10), 100) - 10) / 90
        return self.reach_at_10 + share * (self.reach_at_100 - self.reach_at_10)

    def spare(self, k: int) -> int:
        """Rows beyond k to score again."""
        return _on_line(self.spare_at_10, self.spare_at_100, k)

    def compared(self, k: int) -> int:
        """Allowed rows to compare under a filter."""
        return _on_line(self.compared_at_10, self.compared_at_100, k)


def _on_line(at_10: int, at_100: int, k: int) -> int:
    slope = max(0.0, (at_100 - at_10) / 90)
    return at_10 + int(slope * max(0, k - 10))


class Recall(_Strict):
    """Share of the true neighbours that were found, measured against exact search."""

    at_10: _Share
    at_100: _Share
    queries: _Count


class Manifest(_Strict):
    """What a version is and how it was made. Times are UTC, in whole seconds."""

    schema_version: Literal[1] = 1
    catalogue: Annotated[str, Field(pattern=CATALOGUE_PATTERN)]
    version: Annotated[str, Field(pattern=VERSION_PATTERN)]
    created_at: datetime
    content_sha256: _Sha256
    """Over all that decides what the version holds; its name ends in the first 4 digits."""
    model: ModelIdentity
    stand_in: bool
    template_pattern: str
    template_sha256: _Sha256
    source_name: str
    source_sha256: _Sha256
    items: Annotated[int, Field(ge=1)]
    rejects: _Count
    dim: Annotated[int, Field(ge=1)]
    metric: Literal["inner_product"] = "inner_product"
    factory: Factory
    ef_construction: Annotated[int, Field(ge=1)] | None
    ef_search: EfSearch | None
    recall: Recall
    seed: int
    tools: Mapping[str, str]
    files: Mapping[_RelativePath, FileEntry]
    model_lock: _Sha256 | None = None
    """Digest of the publisher's files the model was made from, as in its lock; None: not known."""
    model_check: ModelCheck | None = None
    """How the export stood in its check when the vectors were made; None: it had none to stand."""
    contained_changes: _Count = 0
    """Every live change up to this sequence is in the items; see indexes/README.md."""
    seal: _Sha256 = "0" * 64
    """sha256 over all other fields; put in when the manifest is written."""

    @property
    def recall_at_10(self) -> float:
        """Share of the 10 true neighbours that a search finds."""
        return self.recall.at_10

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> "Manifest":
        if self.created_at.utcoffset() != UTC.utcoffset(None) or self.created_at.microsecond:
            raise ValueError("created_at is not in UTC and whole seconds")
        if self.version != version_name(self.created_at, self.content_sha256):
            raise ValueError("version does not follow from created_at and content_sha256")
        if MANIFEST in self.files or not {VECTORS, INDEX} <= self.files.keys():
            raise ValueError(f"files must list {VECTORS} and {INDEX}, and not {MANIFEST}")
        if (self.factory == "Flat") != (self.ef_search is None):
            raise ValueError("ef_search belongs to HNSW and IVF, and they need it")
        return self

    def to_json(self) -> bytes:
        """Write the one form that `from_json` accepts: sorted keys, indented, UTF-8."""
        content = self.model_dump(mode="json", exclude={"seal"})
        if self.model_lock is None:
            # Not written at all, as in manifests from before it existed.
            del content["model_lock"]
        if self.model_check is None:
            del content["model_check"]
        if not self.contained_changes:
            del content["contained_changes"]
        if self.ef_search is not None:
            # Likewise: only what differs from the first manifests is written.
            content["ef_search"] = self.ef_search.model_dump(exclude_defaults=True)
        content["seal"] = sha256_bytes(orjson.dumps(content, option=orjson.OPT_SORT_KEYS))
        return orjson.dumps(content, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS) + b"\n"

    @classmethod
    def from_json(cls, content: bytes) -> "Manifest":
        """Read a manifest, accepting nothing that `to_json` would not have written.

        Raises:
            CorruptArtifact: a field is missing, unknown or impossible, or a byte differs.
        """
        try:
            manifest = cls.model_validate_json(content)
        except ValidationError as error:
            fault = error.errors(include_url=False, include_input=False, include_context=False)[0]
            where = ".".join(str(part) for part in fault["loc"])
            raise CorruptArtifact(
                f"{MANIFEST} is not valid: {where}: {fault['msg']}.".replace(": : ", ": "),
                "Build the index again.",
            ) from error
        # Holds the seal too. Refuses duplicate keys and edits that change no meaning as well.
        if manifest.to_json() != content:
            raise CorruptArtifact(f"{MANIFEST} was changed after it was written.")
        return manifest


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of a version folder; says nothing about the other files.

    Raises:
        CorruptArtifact: it is missing, too large or not valid.
    """
    try:
        with (folder / MANIFEST).open("rb") as file:
            content = file.read(_SIZE_MAX + 1)
    except OSError as error:
        raise CorruptArtifact(f"{MANIFEST} cannot be read: {error.strerror}.") from error
    if len(content) > _SIZE_MAX:
        raise CorruptArtifact(f"{MANIFEST} is larger than {_SIZE_MAX} bytes.")
    return Manifest.from_json(content)
