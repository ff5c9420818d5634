from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import orjson
import pytest

from service.artifacts import sha256_bytes, sha256_file
from service.catalogue.column_map import ColumnMap
from service.catalogue.text import TextTemplate
from service.errors import (
    EncodingFailed,
    InvalidCatalogue,
    InvalidInput,
    ModelNotFound,
    PublishConflict,
    VersionNotFound,
)
from service.index.layout import building
from service.index.publish import current_version, publish, versions
from service.index.snapshot import Snapshot, open_snapshot
from service.pipelines.build_index import BuildReport, build
from service.types import ModelIdentity, Vectors

NOW = datetime(2026, 11, 23, 10, 15, 2, tzinfo=UTC)
COLUMNS = ColumnMap("id", TextTemplate("{title}. {genres}"), {"genres": "|"})
IDENTITY = ModelIdentity("bag-of-words", "0" * 40, sha256_bytes(b"bag of words"))
GENRES = ("crime", "comedy", "space", "romance", "war")


@dataclass(frozen=True)
class BagOfWords:
    """A real encoder of the simplest kind: each word a fixed direction, a text their sum."""

    dim: int = 32
    max_tokens: int = 64
    identity: ModelIdentity = IDENTITY

    def encode_items(self, texts: Sequence[str]) -> Vectors:
        return np.stack([self._encode(text) for text in texts])

    encode_queries = encode_items

    def _encode(self, text: str) -> Vectors:
        total = np.zeros(self.dim, dtype=np.float32)
        for word in text.lower().replace(".", " ").replace(",", " ").split():
            direction = np.random.default_rng(int(sha256_bytes(word.encode())[:12], 16))
            total += direction.standard_normal(self.dim).astype(np.float32)
        unit: Vectors = total / np.linalg.norm(total)
        return unit


@dataclass(frozen=True)
class BrokenEncoder(BagOfWords):
    """Gives one value of every second batch row as `spoiled`, or one number too few."""

    spoiled: float | None = None

    def encode_items(self, texts: Sequence[str]) -> Vectors:
        vectors = super().encode_items(texts)
        if self.spoiled is None:
            return vectors[:, 1:]
        vectors[1::2] = self.spoiled
        return vectors


@pytest.fixture
def films(tmp_path: Path) -> Path:
    path = tmp_path / "films.jsonl"
    rows = [
        {
            "id": row,
            "title": f"Film {row}",
            "genres": f"{GENRES[row % 5]}|drama",
            "year": 1950 + row,
        }
        for row in range(60)
    ]
    path.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    return path


@dataclass(frozen=True)
class Workplace:
    """A folder to build in, and the arguments that no test varies."""

    folder: Path

    def build(
        self, source: Path, *, encoder: BagOfWords | None = None, max_reject_share: float = 0.01
    ) -> BuildReport:
        return build(
            source,
            COLUMNS,
            name="films",
            models=self.folder / "models",
            indexes=self.folder / "indexes",
            model_id="bag-of-words",
            now=NOW,
            max_reject_share=max_reject_share,
            encoder=encoder or BagOfWords(),
            stand_in=True,
        )

    def open(self, version: str) -> Snapshot:
        return open_snapshot(self.folder / "indexes" / "films" / version)


@pytest.fixture
def workplace(tmp_path: Path) -> Workplace:
    return Workplace(tmp_path)


def test_built_version_recommends_films_of_the_same_genre(
    workplace: Workplace, films: Path
) -> None:
    version = workplace.build(films).version
    snapshot = workplace.open(version)
    row = snapshot.table.row("7")
    assert row is not None
    rows, _ = snapshot.retriever.search(snapshot.vectors[row : row + 1], 12)
    genres = [snapshot.table.attributes(int(found))["genres"] for found in rows[0]]
    assert rows[0, 0] == row
    assert genres.count(["space", "drama"]) == 12
    assert snapshot.table.text(row) == "Film 7. space, drama"


def test_build_publishes_nothing(workplace: Workplace, films: Path) -> None:
    version = workplace.build(films).version
    indexes = workplace.folder / "indexes"
    with pytest.raises(VersionNotFound):
        current_version(indexes, "films")
    assert [listed.version for listed in versions(indexes, "films")] == [version]
    assert publish(indexes, "films", now=NOW).after == version


def test_manifest_names_source_template_and_model(workplace: Workplace, films: Path) -> None:
    version = workplace.build(films).version
    manifest = workplace.open(version).manifest
    assert version.startswith("2026-11-23T10-15-02Z-")
    assert manifest.model == IDENTITY
    assert manifest.stand_in
    assert (manifest.source_name, manifest.source_sha256) == ("films.jsonl", sha256_file(films))
    assert (manifest.template_pattern, manifest.template_sha256) == (
        COLUMNS.text.pattern,
        COLUMNS.text.sha256,
    )
    assert (manifest.items, manifest.rejects, manifest.dim) == (60, 0, 32)


def test_report_adds_up(workplace: Workplace, films: Path) -> None:
    report = workplace.build(films)
    version = report.version
    assert (report.catalogue, report.version) == ("films", version)
    assert (report.items, report.rejects, report.rejects_path) == (60, 0, None)
    assert (report.factory, report.recall_at_10) == ("Flat", 1.0)
    assert list(report.seconds) == ["read", "encode", "gather", "index", "write"]
    assert report.texts_per_second == 60 / report.seconds["encode"]
    files = workplace.folder / "indexes" / "films" / version
    assert report.total_bytes == sum(
        path.stat().st_size
        for path in files.rglob("*")
        if path.is_file() and path.name != "manifest.json"
    )


def test_same_input_gives_the_same_version(workplace: Workplace, films: Path) -> None:
    first = workplace.build(films).version
    second = Workplace(workplace.folder / "again").build(films).version
    manifests = [
        place.joinpath("indexes", "films", version, "manifest.json").read_bytes()
        for place, version in ((workplace.folder, first), (workplace.folder / "again", second))
    ]
    assert manifests[0] == manifests[1]


def test_rejects_are_counted_and_written_beside_the_versions(
    workplace: Workplace, films: Path
) -> None:
    with films.open("ab") as file:
        file.write(b'{"id": 3, "title": "again"}\n{"id": 99}\n')
    report = workplace.build(films, max_reject_share=0.1)
    version = report.version
    assert (report.items, report.rejects) == (60, 2)
    assert report.rejects_path == workplace.folder / "indexes" / "films" / "REJECTS.jsonl"
    lines = [orjson.loads(line)["line"] for line in report.rejects_path.read_bytes().splitlines()]
    assert lines == [61, 62]
    assert workplace.open(version).manifest.rejects == 2


def test_too_many_rejects_build_nothing(workplace: Workplace, films: Path) -> None:
    with films.open("ab") as file:
        file.write(b"not json\n")
    with pytest.raises(InvalidCatalogue, match=r"REJECTS\.jsonl"):
        workplace.build(films, max_reject_share=0.0)
    assert versions(workplace.folder / "indexes", "films") == []


@pytest.mark.parametrize("spoiled", [np.nan, np.inf, 0.0])
def test_useless_vectors_build_nothing(workplace: Workplace, films: Path, spoiled: float) -> None:
    with pytest.raises(EncodingFailed, match=r"30 of 60 vectors.*first ids: '1', '3'"):
        workplace.build(films, encoder=BrokenEncoder(spoiled=spoiled))
    assert versions(workplace.folder / "indexes", "films") == []


def test_mis_sized_vectors_build_nothing(workplace: Workplace, films: Path) -> None:
    with pytest.raises(EncodingFailed, match=r"shape \(60, 31\).*expected \(60, 32\)"):
        workplace.build(films, encoder=BrokenEncoder())
    assert versions(workplace.folder / "indexes", "films") == []


def test_second_build_of_a_catalogue_is_turned_away_before_it_works(
    workplace: Workplace, films: Path
) -> None:
    with (
        building(workplace.folder / "indexes" / "films"),
        pytest.raises(PublishConflict, match="another build of films"),
    ):
        workplace.build(films)


def test_model_that_was_not_exported_is_named(tmp_path: Path, films: Path) -> None:
    with pytest.raises(ModelNotFound, match="magpie model export"):
        build(
            films,
            COLUMNS,
            name="films",
            models=tmp_path / "models",
            indexes=tmp_path / "indexes",
            model_id="absent",
            now=NOW,
        )
    assert not (tmp_path / "indexes").exists()


def test_impossible_name_is_refused_first(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="name of a catalogue"):
        build(
            tmp_path / "absent.jsonl",
            COLUMNS,
            name="../films",
            models=tmp_path,
            indexes=tmp_path / "indexes",
            model_id="absent",
            now=NOW,
        )


def test_progress_tells_every_stage_to_its_end(tmp_path: Path, films: Path) -> None:
    seen: list[tuple[str, int, int | None]] = []
    build(
        films,
        COLUMNS,
        name="films",
        models=tmp_path,
        indexes=tmp_path / "indexes",
        model_id="bag-of-words",
        now=NOW,
        encoder=BagOfWords(),
        progress=lambda stage, done, total: seen.append((stage, done, total)),
    )
    assert list(dict.fromkeys(stage for stage, _, _ in seen)) == [
        "read",
        "encode",
        "gather",
        "index",
        "write",
    ]
    assert {("read", 60, None), ("encode", 60, 60), ("index", 60, 60), ("write", 60, 60)} <= set(
        seen
    )
