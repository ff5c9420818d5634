"""Stored vectors go with the last version that has them."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from service.catalogue.column_map import ColumnMap
from service.catalogue.text import TextTemplate
from service.errors import CorruptArtifact
from service.index.vector_retention import prune_vectors
from service.pipelines.build_index import BuildReport, build


def make(
    folder: Path, titles: list[str], toy_models: Path, template: str, second: int
) -> BuildReport:
    source = folder / "films.csv"
    source.write_text("id,title\n" + "".join(f"{row},{t}\n" for row, t in enumerate(titles)))
    return build(
        source,
        ColumnMap("id", TextTemplate(template)),
        name="films",
        models=toy_models,
        indexes=folder / "indexes",
        model_id="toy",
        now=datetime(2026, 11, 23, 10, 15, second, tzinfo=UTC),
    )


def test_vectors_of_kept_versions_stay_and_others_go(tmp_path: Path, toy_models: Path) -> None:
    first = make(tmp_path, ["tea", "cup", "pot"], toy_models, "{title}", 1)
    second = make(tmp_path, ["tea", "cup", "jug"], toy_models, "{title}", 2)
    make(tmp_path, ["tea", "cup"], toy_models, "{title}!", 3)
    catalogue = tmp_path / "indexes" / "films"

    pruned = prune_vectors(catalogue, [first.version, second.version])
    assert (pruned.stores, pruned.vectors) == (1, 0)
    assert pruned.freed_bytes > 0

    assert prune_vectors(catalogue, [second.version]).vectors == 1
    again = make(tmp_path, ["tea", "cup", "jug", "pot"], toy_models, "{title}", 4)
    assert (again.embedded.reused, again.embedded.encoded) == (3, 1)


def test_without_versions_every_vector_goes(tmp_path: Path, toy_models: Path) -> None:
    make(tmp_path, ["tea"], toy_models, "{title}", 1)
    catalogue = tmp_path / "indexes" / "films"
    assert prune_vectors(catalogue, []).stores == 1
    assert prune_vectors(catalogue, []).stores == 0


def test_unreadable_version_costs_no_vector(tmp_path: Path, toy_models: Path) -> None:
    version = make(tmp_path, ["tea"], toy_models, "{title}", 1).version
    catalogue = tmp_path / "indexes" / "films"
    (catalogue / version / "manifest.json").write_text("{}")
    with pytest.raises(CorruptArtifact):
        prune_vectors(catalogue, [version])
    assert list(catalogue.rglob("vectors/*/*.npy"))
