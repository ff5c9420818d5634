import resource
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import orjson
import pytest

from service.artifacts import sha256_bytes, sha256_file, write_atomic
from service.catalogue.column_map import ColumnMap
from service.catalogue.sources import Source, local_source
from service.catalogue.text import TextTemplate
from service.errors import (
    CorruptArtifact,
    EncodingFailed,
    IndexFailure,
    InvalidCatalogue,
    InvalidInput,
    ModelNotFound,
    PublishConflict,
    VersionNotFound,
)
from service.index.change_log import ChangeLog
from service.index.changes import Change, Delete, Embedding, Patch, Put
from service.index.layout import CURRENT, WITHHELD, building
from service.index.publish import current_version, publish, versions
from service.index.snapshot import Snapshot, open_snapshot
from service.pipelines.build_index import BuildReport, build
from service.pipelines.build_report import Embedded
from service.types import Attributes, ItemId, ModelIdentity, Vectors

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
class CountingEncoder(BagOfWords):
    """Remembers what it was given."""

    texts: list[str] = field(default_factory=list)

    def encode_items(self, texts: Sequence[str]) -> Vectors:
        self.texts.extend(texts)
        return super().encode_items(texts)


@dataclass(frozen=True)
class FailingLater(BagOfWords):
    """Fails from the second batch on."""

    batches: list[int] = field(default_factory=list)

    def encode_items(self, texts: Sequence[str]) -> Vectors:
        self.batches.append(len(texts))
        if len(self.batches) > 1:
            raise EncodingFailed("the second batch failed")
        return super().encode_items(texts)


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
        self,
        source: Path | Source,
        *,
        encoder: BagOfWords | None = None,
        max_reject_share: float = 0.01,
        batch_texts: int = 512,
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
            batch_texts=batch_texts,
        )

    def build_and_publish(self, source: Path) -> BuildReport:
        """Build, and move the pointer as a publication does; its gates are tested elsewhere."""
        report = self.build(source)
        pointer = self.folder / "indexes" / "films" / CURRENT
        write_atomic(pointer, report.version.encode() + b"\n")
        return report

    def change(self, change: Change) -> None:
        """Store a live change."""
        log = ChangeLog(self.folder / "indexes" / "films")
        with log.writing():
            log.append([change])

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


def test_rebuild_encodes_only_what_is_new_or_changed(workplace: Workplace, films: Path) -> None:
    assert workplace.build(films).embedded == Embedded(distinct=60, encoded=60, reused=0)
    rows = films.read_bytes().splitlines(keepends=True)
    rows[3] = rows[3].replace(b"Film 3", b"Film 3, restored")
    rows[4] = rows[4].replace(b"1954", b"1955")  # an attribute, not the text
    rows.insert(0, b'{"id": "new", "title": "Film new", "genres": "war"}\n')
    films.write_bytes(b"".join(rows[:-1]))
    encoder = CountingEncoder()
    report = workplace.build(films, encoder=encoder)
    assert encoder.texts == ["Film new. war", "Film 3, restored. romance, drama"]
    assert report.embedded == Embedded(distinct=60, encoded=2, reused=58)
    snapshot = workplace.open(report.version)
    texts = [snapshot.table.text(row) for row in range(60)]
    np.testing.assert_array_equal(snapshot.vectors, BagOfWords().encode_items(texts))


def test_equal_texts_are_encoded_once(workplace: Workplace, films: Path) -> None:
    films.write_bytes(
        b"".join(
            b'{"id": %d, "title": "Film %d", "genres": "war"}\n' % (n, n % 7) for n in range(60)
        )
    )
    encoder = CountingEncoder()
    report = workplace.build(films, encoder=encoder)
    assert encoder.texts == [f"Film {n}. war" for n in range(7)]
    assert report.embedded == Embedded(distinct=7, encoded=7, reused=0)
    vectors = workplace.open(report.version).vectors
    np.testing.assert_array_equal(vectors[:7], vectors[7:14])


def test_other_template_or_model_reuses_nothing(workplace: Workplace, films: Path) -> None:
    workplace.build(films)
    other = BagOfWords(identity=ModelIdentity("bag-of-words", "1" * 40, "9" * 64))
    assert workplace.build(films, encoder=other).embedded.reused == 0
    assert len(list((workplace.folder / "indexes" / "films" / "vectors").iterdir())) == 2


def test_version_has_the_same_content_whether_vectors_are_reused_or_not(
    workplace: Workplace, films: Path
) -> None:
    whole = films.read_bytes()
    films.write_bytes(b"".join(whole.splitlines(keepends=True)[20:]))
    workplace.build(films)
    films.write_bytes(whole)
    rebuilt = workplace.build(films)
    fresh = Workplace(workplace.folder / "fresh").build(films)
    assert (rebuilt.embedded.reused, fresh.embedded.reused) == (40, 0)
    assert rebuilt.content_sha256 == fresh.content_sha256
    # Of the same moment, but second in its folder: the name has the next second.
    assert rebuilt.version.rpartition("-")[2] == fresh.version.rpartition("-")[2]


@pytest.mark.parametrize("spoiled", [np.nan, 0.0])
def test_useless_vectors_are_not_stored(workplace: Workplace, films: Path, spoiled: float) -> None:
    with pytest.raises(EncodingFailed):
        workplace.build(films, encoder=BrokenEncoder(spoiled=spoiled))
    assert workplace.build(films).embedded == Embedded(distinct=60, encoded=60)


def test_failed_build_leaves_its_vectors_and_nothing_else(
    workplace: Workplace, films: Path
) -> None:
    with pytest.raises(EncodingFailed, match="second batch"):
        workplace.build(films, encoder=FailingLater(), batch_texts=20)
    folder = workplace.folder / "indexes" / "films"
    assert sorted(path.name for path in folder.iterdir()) == [".build.lock", "vectors"]
    assert workplace.build(films, batch_texts=20).embedded == Embedded(60, 40, 20)


def test_report_is_written_beside_the_version(workplace: Workplace, films: Path) -> None:
    report = workplace.build(films)
    path = workplace.folder / "indexes" / "films" / "reports" / f"{report.version}.json"
    written = orjson.loads(path.read_bytes())
    assert written["embedded"]["encoded"] == 60
    assert written["recall_at_10"] == 1.0
    assert list(written["seconds"]) == ["read", "encode", "gather", "index", "write"]
    assert written["size_bytes"]["vectors.npy"] == 128 + 60 * 32 * 4
    assert written["store_bytes"] > 60 * 32 * 4
    assert str(workplace.folder) not in path.read_text()


def test_full_disk_is_told_and_costs_no_vector(workplace: Workplace, films: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    # The table has 6 kB, a segment of 10 texts 1.6 kB, the vectors 7.8 kB.
    resource.setrlimit(resource.RLIMIT_FSIZE, (7000, before[1]))
    try:
        with pytest.raises(IndexFailure, match="could not write: File too large") as caught:
            workplace.build(films, batch_texts=10)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "build again" in caught.value.hint
    assert workplace.build(films).embedded == Embedded(distinct=60, encoded=0, reused=60)


def test_live_changes_go_into_the_next_version(workplace: Workplace, films: Path) -> None:
    workplace.build(films)
    log = ChangeLog(workplace.folder / "indexes" / "films")
    nothing = np.zeros(32, np.float32)
    fresh: Attributes = {"title": "Film new", "genres": ["war"]}
    with log.writing():
        log.append(
            [
                Put(0, ItemId("new"), fresh, Embedding("Film new. war", nothing, "m", "t")),
                Patch(0, ItemId("3"), {"year": 1900}),
                Delete(0, ItemId("5")),
            ]
        )
    report = workplace.build(films)
    snapshot = workplace.open(report.version)
    assert report.items == 60
    assert report.embedded == Embedded(distinct=60, encoded=1, reused=59)
    assert snapshot.table.row("5") is None
    assert snapshot.table.text(59) == "Film new. war"
    assert snapshot.table.attributes(3)["year"] == 1900
    assert snapshot.manifest.contained_changes == 1


def test_a_deleted_item_stays_out_until_the_source_has_dropped_it_once(
    workplace: Workplace, films: Path
) -> None:
    everything = films.read_text()
    without = "".join(line for line in everything.splitlines(True) if '"id":5,' not in line)
    workplace.build_and_publish(films)
    workplace.change(Delete(0, ItemId("5")))
    for _ in range(3):
        report = workplace.build_and_publish(films)
        assert (report.items, report.withheld, report.withheld_first) == (59, 1, ("5",))
        assert workplace.open(report.version).table.row("5") is None
    films.write_text(without)
    assert workplace.build_and_publish(films).withheld == 0
    films.write_text(everything)
    report = workplace.build_and_publish(films)
    assert (report.items, report.withheld) == (60, 0)


def test_a_deleted_item_that_is_put_again_is_withheld_no_more(
    workplace: Workplace, films: Path
) -> None:
    workplace.build_and_publish(films)
    workplace.change(Delete(0, ItemId("5")))
    assert workplace.build_and_publish(films).withheld == 1
    nothing = np.zeros(32, np.float32)
    again: Attributes = {"title": "Film 5 again", "genres": ["war"]}
    workplace.change(Put(0, ItemId("5"), again, Embedding("Film 5 again. war", nothing, "m", "t")))
    report = workplace.build_and_publish(films)
    table = workplace.open(report.version).table
    assert (report.items, report.withheld) == (60, 0)
    # After all others, as it is while only the log has it.
    assert (table.row("5"), table.text(59)) == (59, "Film 5 again. war")
    report = workplace.build_and_publish(films)
    assert (report.items, report.withheld) == (60, 0)
    assert workplace.open(report.version).table.text(5) == "Film 5. crime, drama"


def test_withheld_items_that_were_tampered_with_fail_the_next_build(
    workplace: Workplace, films: Path
) -> None:
    workplace.build_and_publish(films)
    workplace.change(Delete(0, ItemId("5")))
    version = workplace.build_and_publish(films).version
    path = workplace.folder / "indexes" / "films" / version / WITHHELD
    path.write_bytes(path.read_bytes().replace(b"5", b"6"))
    with pytest.raises(CorruptArtifact, match=r"withheld\.json is not the file that was built"):
        workplace.build(films)


def test_several_files_are_one_catalogue(workplace: Workplace, films: Path) -> None:
    films.with_name("more.csv").write_text("id,title,genres\n100,Film 100,war|space\n")
    source = local_source([str(films), str(films.with_name("more.csv"))])
    report = workplace.build(source)
    snapshot = workplace.open(report.version)
    assert (report.items, report.source) == (61, "films.jsonl and 1 more")
    assert snapshot.table.id(60) == "100"


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
