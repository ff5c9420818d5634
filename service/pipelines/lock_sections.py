"""The sections of a provenance record. What nobody has established is said as "unknown".

Facts are checked against bytes; claims are what the publisher says and nobody here has verified.
"""

from collections.abc import Mapping
from typing import Annotated, Literal, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict, Field

_T = TypeVar("_T")
Sha256: TypeAlias = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Unknown: TypeAlias = Literal["unknown"]
Known: TypeAlias = _T | Unknown


class Section(BaseModel):
    """Base of all parts of a lock: frozen, nothing unexpected in it."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Formats(Section):
    """What the gate established before anything was opened."""

    weights: Literal["safetensors", "onnx"]
    dtype: str
    pickle_free: Literal[True] = True
    code_free: Literal[True] = True
    only_listed_files: Literal[True] = True
    links_allowed: Literal[False] = False
    gate: str
    """Which program looked, with its version."""


class Signature(Section):
    """Who signed the publisher's files. Nobody does today, and we do not sign in their place."""

    upstream: Literal["none"] = "none"
    own: Literal["none"] = "none"


class OriginClaims(Section):
    """Where the model comes from, as its publisher says."""

    publisher: str
    country: Known[str]
    base_model: Known[str]
    training_data: Known[str] = "unknown"
    knowledge_until: Known[str] = "unknown"
    languages: tuple[str, ...]


class Licence(Section):
    """The terms, and what the policy of this installation says of them."""

    spdx: str
    text_sha256: Known[Sha256]
    verdict: Literal["allowed", "refused", "no policy"]
    obligations: tuple[str, ...]
    data_licences: Known[str] = "unknown"


class Interface(Section):
    """How the model is used; `tokenizer_sha256` is of the publisher's file."""

    architecture: str
    dim: int
    dims: tuple[int, ...]
    max_tokens: int
    pooling: str
    padding: str
    normalize: bool
    query_instruction: str
    item_instruction: str
    similarity: Literal["cosine"] = "cosine"
    truncation: Literal["keep the first tokens"] = "keep the first tokens"
    tokenizer_sha256: Known[Sha256]


class Evidence(Section):
    """How well revision and hashes were known before the first pull."""

    grade: Literal["A", "B", "C"]
    pinned_files: tuple[str, ...]
    sources: tuple[str, ...]


class LockedReport(Section):
    """A report beside the lock, by its hash."""

    path: str
    sha256: Sha256


class Conversion(Section):
    """One export made from these files: what went in, what came out, how faithful it is."""

    digest: Sha256
    upstream_digest: Sha256
    derived_from: Sha256 | None
    precision: str
    recipe: str = ""
    """How it was quantised, in the quantiser's words; empty where it was not."""
    opset: int
    files: Mapping[str, Sha256]
    tools: Mapping[str, str]
    min_cosine: float
    mean_cosine: float
    texts: int
    created_at: str


class Safety(Section):
    """How the model is opened."""

    trust_remote_code: Literal[False] = False
    network_observed: Known[str] = "unknown"
    canary_load: Known[str] = "unknown"


class Provenance(Section):
    """Sections 3 to 13 of the record; 1 and 2 are the lock itself, 14 is made by `model sbom`."""

    formats: Known[Formats] = "unknown"
    signature: Signature = Signature()
    origin: Known[OriginClaims] = "unknown"
    licence: Known[Licence] = "unknown"
    interface: Known[Interface] = "unknown"
    evidence: Known[Evidence] = "unknown"
    golden_vectors: Known[LockedReport] = "unknown"
    conversions: tuple[Conversion, ...] = ()
    evaluation: Known[tuple[LockedReport, ...]] = "unknown"
    red_team: Known[LockedReport] = "unknown"
    safety: Safety = Safety()
    approval: Known[str] = "unknown"
