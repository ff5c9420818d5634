"""Golden vectors: what a model said of fixed texts once, and must say ever after.

`models/<id>/golden.json` is written once, by the best runtime at hand, and belongs into git.
It notices what no comparison of two fresh runs can: that both have changed.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import numpy as np
import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from service.artifacts import write_atomic
from service.encoders.encoder import Encoder
from service.encoders.exports import Precision
from service.encoders.registry import ModelRecord
from service.errors import CorruptArtifact, InvalidSettings
from service.pipelines.parity_texts import PARITY_TEXTS
from service.types import Vectors

GOLDEN = "golden.json"
FIRST = 8
QUERY_TEXTS = 16
_DIGITS = 6
# Largest difference in one number. Rounding differs from processor to processor, and 8 bits
# saturate on some. A number of a unit vector is about 1 / sqrt(dim); at cosine 0.985 its error
# is about a sixth of that, so 1 / sqrt(dim) is met by noise of that kind and by nothing worse.
_TOLERANCE: Mapping[Precision, float] = {"float32": 1e-4, "float16": 1e-3}
_INT8_TOLERANCE = 1.0

Role: TypeAlias = Literal["item", "query"]
Runtime: TypeAlias = Literal["torch", "onnx"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class GoldenText(_Strict):
    """One text, how it was read, its vector's first numbers and its length."""

    role: Role
    text: str
    first: Annotated[tuple[float, ...], Field(min_length=1, max_length=FIRST)]
    norm: float


class GoldenVectors(_Strict):
    """`golden.json` of a model."""

    schema_version: Literal[1] = 1
    id: str
    revision: str
    dim: int
    runtime: Runtime
    """What gave the numbers: the reference in torch, or the float32 graph where there is none."""
    tolerance: Mapping[Precision, float]
    """Largest difference that one number may show, by the precision of what is compared."""
    locked_at: str
    tools: Mapping[str, str]
    texts: Annotated[tuple[GoldenText, ...], Field(min_length=64)]

    @classmethod
    def read(cls, path: Path) -> "GoldenVectors | None":
        """Read golden vectors; None where none were locked.

        Raises:
            CorruptArtifact: the file is there and is something else.
        """
        try:
            return cls.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return None
        except ValidationError as error:
            fault = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(str(part) for part in fault["loc"])
            raise CorruptArtifact(
                f"{path.parent.name}/{path.name} is damaged ({where}: {fault['msg']}).",
                "Restore it from git.",
            ) from error

    def write(self, path: Path) -> None:
        """Lock the numbers.

        Raises:
            InvalidSettings: others are locked already.
        """
        if path.exists():
            raise InvalidSettings(
                f"{path.parent.name}/{path.name} is there already, and golden vectors stay.",
                "If the change of numbers is meant, delete that file first and say why in git.",
            )
        content = self.model_dump(mode="json")
        texts = content.pop("texts")
        head = orjson.dumps(content, option=orjson.OPT_INDENT_2).removesuffix(b"\n}")
        # A line a text, so that git shows which ones a change touches.
        lines = b",\n    ".join(orjson.dumps(text) for text in texts)
        write_atomic(path, head + b',\n  "texts": [\n    ' + lines + b"\n  ]\n}\n")

    def applies_to(self, encoder: Encoder) -> bool:
        """Whether an encoder is of the same revision and length of vector."""
        return (encoder.identity.revision, encoder.dim) == (self.revision, self.dim)


class GoldenResult(_Strict):
    """How far an encoder is from the golden vectors."""

    texts: int
    max_error: float
    tolerance: float
    worst_text: str

    @property
    def passed(self) -> bool:
        """Whether every number is within the tolerance."""
        return self.max_error <= self.tolerance


def golden_texts() -> tuple[tuple[Role, str], ...]:
    """Every parity text as an item, and some of them as queries."""
    items: list[tuple[Role, str]] = [("item", text) for text in PARITY_TEXTS]
    queries: list[tuple[Role, str]] = [("query", text) for text in PARITY_TEXTS[:QUERY_TEXTS]]
    return tuple(items + queries)


def make_golden(
    record: ModelRecord,
    vectors: Vectors,
    *,
    runtime: Runtime,
    tools: Mapping[str, str],
    now: datetime,
) -> GoldenVectors:
    """Round vectors of `golden_texts()`, float32 (n, dim) in that order, to what is locked."""
    texts = tuple(
        GoldenText(role=role, text=text, first=_first(vector), norm=_norm(vector))
        for (role, text), vector in zip(golden_texts(), vectors, strict=True)
    )
    dim = vectors.shape[1]
    return GoldenVectors(
        id=record.id,
        revision=record.revision,
        dim=dim,
        runtime=runtime,
        tolerance={**_TOLERANCE, "int8": round(_INT8_TOLERANCE / float(np.sqrt(dim)), 3)},
        locked_at=now.isoformat(timespec="seconds"),
        tools=tools,
        texts=texts,
    )


def encode_golden(encoder: Encoder, texts: Sequence[tuple[Role, str]]) -> Vectors:
    """Encode texts in their roles; returns float32 (len(texts), dim) in order."""
    vectors = np.empty((len(texts), encoder.dim), dtype=np.float32)
    for role, encode in (("item", encoder.encode_items), ("query", encoder.encode_queries)):
        rows = [row for row, (each, _) in enumerate(texts) if each == role]
        vectors[rows] = encode([texts[row][1] for row in rows])
    return vectors


def compare_golden(golden: GoldenVectors, encoder: Encoder, precision: Precision) -> GoldenResult:
    """Encode the golden texts anew and find the number that differs most."""
    vectors = encode_golden(encoder, [(each.role, each.text) for each in golden.texts])
    expected = np.asarray([(*each.first, each.norm) for each in golden.texts])
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    found = np.hstack([vectors[:, : expected.shape[1] - 1], norms])
    errors = np.abs(found - expected).max(axis=1)
    worst = int(np.argmax(errors))
    return GoldenResult(
        texts=len(errors),
        max_error=float(errors[worst]),
        tolerance=golden.tolerance[precision],
        worst_text=golden.texts[worst].text,
    )


def _first(vector: Vectors) -> tuple[float, ...]:
    return tuple(round(float(value), _DIGITS) for value in vector[:FIRST])


def _norm(vector: Vectors) -> float:
    return round(float(np.linalg.norm(vector)), _DIGITS)
