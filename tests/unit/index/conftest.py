"""Small real versions on disk: random vectors, a real table, a real FAISS index."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pytest

from service.artifacts import sha256_bytes, write_atomic
from service.index import journal
from service.index.built_index import BuiltIndex, build_faiss
from service.index.layout import CURRENT, building, catalogue_folder
from service.index.manifest import read_manifest
from service.index.snapshot import Provenance, write_snapshot
from service.index.verification import fingerprint
from service.types import Attributes, Item, ItemId, ModelIdentity, Vectors

WriteVersion: TypeAlias = Callable[..., str]
MakeVectors: TypeAlias = Callable[..., Vectors]


@pytest.fixture
def indexes(tmp_path: Path) -> Path:
    return tmp_path / "indexes"


@pytest.fixture
def now() -> datetime:
    return datetime(2026, 11, 23, 10, 15, 2, tzinfo=UTC)


@pytest.fixture
def model() -> ModelIdentity:
    return ModelIdentity("bag-of-words", "0" * 40, sha256_bytes(b"bag of words"))


@pytest.fixture(scope="session")
def make_vectors() -> MakeVectors:
    """Clustered vectors of unequal norms: neither unit rows nor noise without neighbours."""

    def make(count: int, dim: int, seed: int = 0, clusters: int = 40) -> Vectors:
        chance = np.random.default_rng(seed)
        centres = chance.standard_normal((clusters, dim))
        members = centres[chance.integers(clusters, size=count)]
        spread = 0.5 * chance.standard_normal((count, dim))
        lengths = chance.uniform(0.8, 1.25, (count, 1))
        return np.ascontiguousarray((members + spread) * lengths, dtype=np.float32)

    return make


@pytest.fixture
def serve(indexes: Path, now: datetime) -> Callable[[str], None]:
    """Make a version of `pins` the served one as a publication does, without its gates."""

    def point_to(version: str) -> None:
        folder = indexes / "pins" / version
        examined = journal.Examined(seal=read_manifest(folder).seal, files=fingerprint(folder))
        journal.append(folder.parent, "publish", None, version, now, examined=examined)
        write_atomic(folder.parent / CURRENT, version.encode() + b"\n")

    return point_to


@pytest.fixture
def write_version(
    indexes: Path, now: datetime, model: ModelIdentity, make_vectors: MakeVectors
) -> WriteVersion:
    """Write a version of `pins`; each one a minute younger than the last."""
    written = 0

    def write(
        items: int = 30,
        dim: int = 8,
        made_by: ModelIdentity | None = None,
        contained_changes: int = 0,
        vectors: Vectors | None = None,
        title: str = "Pin {}",
        facts: Mapping[int, Attributes] | None = None,
        built: BuiltIndex | None = None,
    ) -> str:
        nonlocal written
        written += 1
        if vectors is None:
            vectors = make_vectors(items, dim, seed=written)
        catalogue = [
            Item(
                ItemId(f"pin-{row}"),
                title.format(row),
                {
                    "price": row,
                    "tag": "odd" if row % 2 else "even",
                    **(facts or {}).get(row, {}),
                },
            )
            for row in range(len(vectors))
        ]
        with building(catalogue_folder(indexes, "pins")):
            return write_snapshot(
                indexes,
                "pins",
                items=catalogue,
                vectors=vectors,
                built=built or build_faiss(vectors, seed=7),
                provenance=Provenance(
                    model=made_by or model,
                    stand_in=True,
                    template_pattern="{title}",
                    template_sha256=sha256_bytes(b"{title}"),
                    source_name="pins.jsonl",
                    source_sha256=sha256_bytes(b"pins"),
                    rejects=3,
                    seed=7,
                    tools={"onnxruntime": "1.32.0"},
                    contained_changes=contained_changes,
                ),
                created_at=now + timedelta(minutes=written),
            )

    return write
