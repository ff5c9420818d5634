"""Small versions with known vectors, so that the right answer can be worked out by hand."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from service.index.native import library
from service.index.shelf import Shelf
from service.index.snapshot import Provenance, open_snapshot, write_snapshot
from service.index.tuning import build_faiss
from service.types import AttributeValue, Item, ItemId, ModelIdentity

MakeSnapshot = Callable[[Mapping[str, list[float]], Mapping[str, dict[str, AttributeValue]]], Shelf]


@pytest.fixture(scope="session", autouse=True)
def _compiled() -> None:
    """Compile where nobody has installed this checkout; a machine without a compiler fails here."""
    if library.open_library() is None:
        assert library.compile_library() is None
        library.open_library.cache_clear()
    assert library.is_compiled()


@pytest.fixture
def make_snapshot(tmp_path: Path) -> MakeSnapshot:
    def make(
        vectors: Mapping[str, list[float]], attributes: Mapping[str, dict[str, AttributeValue]]
    ) -> Shelf:
        items = [Item(ItemId(name), name, attributes.get(name, {})) for name in vectors]
        rows = np.array(list(vectors.values()), dtype=np.float32)
        version = write_snapshot(
            tmp_path,
            "tiny",
            items=items,
            vectors=rows,
            built=build_faiss(rows, seed=0),
            provenance=Provenance(
                model=ModelIdentity("none", "0" * 40, "0" * 64),
                stand_in=False,
                template_pattern="{text}",
                template_sha256="0" * 64,
                source_name="tiny.jsonl",
                source_sha256="0" * 64,
                rejects=0,
                seed=0,
                tools={},
            ),
            created_at=datetime(2026, 1, 1, tzinfo=UTC),
        )
        return Shelf.of_snapshot(open_snapshot(tmp_path / "tiny" / version))

    return make
